"""Paths that damage DSS options of connections without checksums (RFC 8684 section 3.3.1).

Only checksums tell for sure. But mappings that contradict each other, or the bytes that are there already, show it.
"""

from collections.abc import Callable
from random import Random

import pytest

from mptcp_stack.sim import SECOND, Middlebox, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Dss, Segment
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene, rewrite, without_mptcp

UPLOAD = pattern(500_000, 1)


def invert_dsn(dss: Dss, byte: int) -> None:
    dss.dsn ^= 0xFF << 8 * byte


def invert_ssn(dss: Dss, byte: int) -> None:
    dss.ssn ^= 0xFF << 8 * (byte % 4)


def invert_length(dss: Dss, byte: int) -> None:
    dss.length ^= 0xFF << 8 * (byte % 2)


def invert_ack(dss: Dss, byte: int) -> None:
    dss.data_ack ^= 0xFF << 8 * byte


def damaging(share: float, seed: int, *damages: Callable[[Dss, int], None]) -> Middlebox:
    """Invert one byte of a DSS in such a share of the segments with a mapping."""
    random = Random(seed)

    def change(segment: Segment) -> bool:
        dss = segment.options.dss
        if dss is not None and dss.length and segment.length and random.random() < share:
            random.choice(damages)(dss, random.randrange(8))
        return True

    return rewrite(change)


def upload(run: Scene) -> tuple[Source, Source]:
    """What happens to UPLOAD within a minute; the connection may end in any way."""
    client, server = Source(UPLOAD), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    return client, server


@pytest.mark.parametrize("seed", range(24))
def test_no_byte_is_wrong(seed: int) -> None:
    damages = (invert_dsn, invert_dsn, invert_ssn, invert_length, invert_ack)
    run = make_scene(seed, middlebox=damaging(0.03, seed, *damages))
    _, server = upload(run)
    assert UPLOAD.startswith(bytes(server.received)), run.network.diagnosis("wrong bytes")


@pytest.mark.parametrize("seed", range(10))
def test_the_other_path_carries_everything(seed: int) -> None:
    damages = (invert_dsn, invert_dsn, invert_ssn, invert_length, invert_ack)
    run = make_scene(seed, middlebox=[None, damaging(0.03, seed, *damages)])
    _, server = upload(run)
    assert bytes(server.received) == UPLOAD, run.network.diagnosis("not whole")


@pytest.mark.parametrize("sent", [1, 5000, 10_000])
def test_a_path_loses_all_options_after_the_other_has_lost_data(sent: int) -> None:
    """What was sent on the other subflow is missing in this one: it is not the stream, and cannot become TCP's."""
    stripping = False

    def strip(segment: Segment) -> bool:
        if stripping:
            without_mptcp(segment)
        return True

    def drop_data(segment: Segment) -> bool:
        return not segment.length

    run = make_scene(1, middlebox=[rewrite(strip), rewrite(drop_data)])
    client, server = Source(UPLOAD), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: [one.bytes_sent >= sent for one in client.connection.subflows[1:]] == [True], SECOND)
    stripping = True
    server.connection.subflows[1].endpoint.abort(run.network.clock.now_ns)
    run.server.settle()
    run.network.run_for(60 * SECOND)
    assert UPLOAD.startswith(bytes(server.received)), run.network.diagnosis("wrong bytes")
    assert not server.connection.is_plain


@pytest.mark.parametrize("shift", [0xFF, 0xFF00, 0xFF << 40])
@pytest.mark.parametrize(("damaged", "stripped"), [(6, 7), (12, 14), (21, 31)])
@pytest.mark.parametrize("both", [False, True])
def test_a_path_loses_all_options_after_it_has_damaged_one(both: bool, damaged: int, stripped: int, shift: int) -> None:
    """What a mapping has put elsewhere is missing in its place: what follows cannot go on as TCP (section 3.7)."""
    count = 0

    def change(segment: Segment) -> bool:
        nonlocal count
        dss = segment.options.dss
        if segment.dport == PORT and segment.length:
            count += 1
            if count == damaged and dss is not None and dss.dsn is not None:
                dss.dsn ^= shift
        if count >= stripped and (both or segment.dport == PORT):
            without_mptcp(segment)
        return True

    run = make_scene(1, [PATH], middlebox=rewrite(change))
    _, server = upload(run)
    assert UPLOAD.startswith(bytes(server.received)), run.network.diagnosis("wrong bytes")


@pytest.mark.parametrize(("number", "byte"), [(2, 1), (4, 0), (4, 1), (3, 7), (9, 7)])
def test_the_only_path_becomes_tcp_where_a_mapping_cannot_be(number: int, byte: int) -> None:
    """It contradicts the one before, or is beyond the window; and all so far came here and in order (section 3.7)."""
    count = 0

    def change(segment: Segment) -> bool:
        nonlocal count
        dss = segment.options.dss
        if segment.dport == PORT and segment.length and dss is not None and dss.dsn is not None:
            count += 1
            if count == number:
                invert_dsn(dss, byte)
        return True

    run = make_scene(1, [PATH], middlebox=rewrite(change))
    _, server = upload(run)
    assert bytes(server.received) == UPLOAD, run.network.diagnosis("not whole")
    assert server.connection.is_plain
    assert run.server.stack.counters["MPTcpExtDSSCorruptionFallback"] == 1


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("flip", [0x01, 0x0F, 0xFF, 0xFF00])
@pytest.mark.parametrize("size", [20_000, 30_000])
def test_a_damaged_end_of_data_cuts_nothing_off_unsaid(size: int, flip: int, which: int) -> None:
    count = 0

    def change(segment: Segment) -> bool:
        nonlocal count
        dss = segment.options.dss
        if segment.dport == PORT and segment.length and dss is not None and dss.data_fin:
            count += 1
            if count == which:
                dss.dsn ^= flip
        return True

    run = make_scene(1, [PATH], middlebox=rewrite(change))
    client, server = Source(pattern(size, 1)), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert server.error or bytes(server.received) == pattern(size, 1)
