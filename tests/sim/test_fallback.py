"""MPTCP where something on the way, or the peer, does not have it (RFC 8684 section 3.7)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mptcp_stack.sim import SECOND, Middlebox, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import MpJoinSyn, Packet, Segment, complete, decode, encode
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    SERVER,
    SYN,
    UPLOAD,
    Scene,
    come_to_rest,
    exchange,
    impaired,
    make_scene,
    rewrite,
    without_mptcp,
)

SEEDS = [1, 2, 3]
ACK = 16
ROOMY = impaired(queue_bytes=1_000_000)


def strip_syn(segment: Segment) -> bool:
    if segment.flags & SYN:
        without_mptcp(segment)
    return True


def strip_syn_ack(segment: Segment) -> bool:
    if segment.flags & (SYN | ACK) == SYN | ACK:
        without_mptcp(segment)
    return True


def strip_all(segment: Segment) -> bool:
    without_mptcp(segment)
    return True


def strip_all_but_syn(segment: Segment) -> bool:
    if not segment.flags & SYN:
        without_mptcp(segment)
    return True


def strip_dss(segment: Segment) -> bool:
    segment.options.dss = None
    return True


def is_join(segment: Segment) -> bool:
    return any(isinstance(option, MpJoinSyn) for option in segment.options.mptcp)


def strip_join(segment: Segment) -> bool:
    if is_join(segment):
        without_mptcp(segment)
    return True


def drop_join(segment: Segment) -> bool:
    return not is_join(segment)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("change", [strip_syn, strip_syn_ack, strip_all, strip_all_but_syn])
def test_falls_back_to_tcp(change, loss: float, seed: int) -> None:
    run = make_scene(seed, [impaired(loss=loss)] * 2, middlebox=rewrite(change))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp
    assert run.carried()[1] == 0 or change is strip_all_but_syn


@pytest.mark.parametrize(
    ("change", "up", "down"), [(strip_all_but_syn, 0, None), (strip_dss, 0, None), (strip_dss, None, 900)]
)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_one_side_alone_says_little_and_ends(change, up: int | None, down: int | None, loss: float) -> None:
    """TCP acknowledges no DATA_FIN: who has said nothing else has to ask, and who only listens answers all the same."""
    run = make_scene(3, [impaired(loss=loss)], middlebox=rewrite(change))
    client, server = (Sink() if length is None else Source(pattern(length)) for length in (up, down))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, 20 * SECOND)
    assert client.eof
    assert server.eof
    assert client.error is server.error is None
    come_to_rest(run)


@pytest.mark.parametrize(("upload", "download"), [(0, 0), (1, 0), (0, 1), (3000, 0), (3000, 3000)])
@pytest.mark.parametrize("change", [strip_syn, strip_syn_ack, strip_all, strip_all_but_syn])
def test_short_exchanges_fall_back(change, upload: int, download: int) -> None:
    """The end of data may have been sent as a DATA_FIN already."""
    run = make_scene(1, middlebox=rewrite(change))
    exchange(run, pattern(upload, 1), pattern(download, 2))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("after", [10, 50, 200])
@pytest.mark.parametrize("both", [False, True])
def test_path_loses_mptcp_in_the_middle(both: bool, after: int, loss: float, seed: int) -> None:
    """From some segment on there are no options any more, on the way to the server or on both ways."""
    count = 0

    def strip(segment: Segment) -> bool:
        nonlocal count
        count += 1
        if count > after and (both or segment.dport == PORT):
            without_mptcp(segment)
        return True

    run = make_scene(seed, [impaired(loss=loss)], middlebox=rewrite(strip))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("side", ["client", "server"])
def test_one_side_has_no_mptcp(side: str, seed: int) -> None:
    run = make_scene(seed, **{side: {"mptcp": False}})
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp
    assert run.carried()[1] == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("change", [strip_join, drop_join])
def test_goes_on_with_one_path_when_joins_fail(change, seed: int) -> None:
    run = make_scene(seed, middlebox=rewrite(change))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp


def shortens_mapping(number: int) -> Middlebox:
    """From that segment of data to the server on, the mapping of every tenth covers its first half only."""
    count = 0

    def shorten(segment: Segment) -> bool:
        nonlocal count
        dss = segment.options.dss
        if segment.dport == PORT and segment.length > 100 and dss is not None and dss.dsn is not None:
            count += 1
            if count >= number and (count - number) % 10 == 0:
                segment.options.dss = replace(dss, length=dss.length // 2)
        return True

    return rewrite(shorten)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", [2, 7])
@pytest.mark.parametrize("checksums", [False, True])
def test_segments_that_were_joined_lose_a_mapping(checksums: bool, number: int, seed: int) -> None:
    """Half of a segment has no mapping (RFC 8684 section 3.7): with one path, the connection goes on as TCP."""
    settings = {"dss_checksum": checksums, "gso_max_bytes": 1400}
    run = make_scene(seed, [PATH], middlebox=shortens_mapping(number), client=settings, server=settings)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp


@pytest.mark.parametrize("seed", SEEDS)
def test_one_of_two_paths_loses_mappings(seed: int) -> None:
    run = make_scene(seed, middlebox=[None, shortens_mapping(5)], client={"gso_max_bytes": 1400})
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp


def acknowledging(scene: Callable[[], Scene], lost: int = 0) -> Middlebox:
    """A proxy: the server hears of its data before the client has them, in ACKs without DSS; some it then loses."""
    count = 0

    def acknowledge(packet: bytes) -> list[bytes]:
        nonlocal count
        segment = decode(Packet([packet]))
        if segment.sport == PORT and segment.length:
            count += 1
            ack = Segment(segment.dst, segment.src, segment.dport, segment.sport, segment.ack, flags=ACK, window=500)
            ack.ack = (segment.seq + segment.length) % 2**32
            ack.options.ts_val, ack.options.ts_ecr = segment.options.ts_ecr, segment.options.ts_val
            scene().server.deliver(complete(encode(ack)))
            if lost and count % lost == 0:
                return []
        return [packet]

    return acknowledge


@pytest.mark.parametrize("seed", SEEDS)
def test_a_proxy_acknowledges_first_on_the_second_path(seed: int) -> None:
    run = make_scene(seed, [ROOMY] * 2, middlebox=[None, acknowledging(lambda: run)])
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
    assert run.paths[1][1].counters.carried_bytes > 10_000


@pytest.mark.parametrize("seed", SEEDS)
def test_a_proxy_begins_to_acknowledge_while_a_join_is_under_way(seed: int) -> None:
    """Its word is not taken at once for that of a peer which has lost MPTCP."""
    proxy = acknowledging(lambda: run)
    joining = False

    def watch(segment: Segment) -> bool:
        nonlocal joining
        joining |= segment.sport == PORT and bool(segment.flags & SYN)
        return True

    boxes = [lambda packet: proxy(packet) if joining else [packet], rewrite(watch)]
    run = make_scene(seed, [ROOMY, ROOMY], middlebox=boxes)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lost", [1, 5, 30])
def test_what_a_proxy_has_acknowledged_and_lost_takes_the_other_path(lost: int, seed: int) -> None:
    """TCP has no copy of it any more, and nothing that follows on that path ever arrives (RFC 8684 section 3.3.6)."""
    run = make_scene(seed, [ROOMY] * 2, middlebox=[None, acknowledging(lambda: run, lost)])
    client, server = exchange(run, UPLOAD, DOWNLOAD, limit_ns=5 * SECOND)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
