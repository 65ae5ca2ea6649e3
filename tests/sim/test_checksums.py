"""DSS checksums, and what follows when they are wrong (RFC 8684 sections 3.3.1 and 3.7)."""

from collections.abc import Callable

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import MpCapable, MpFail, Segment
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    RST,
    SERVER,
    UPLOAD,
    Scene,
    client_ip,
    come_to_rest,
    exchange,
    impaired,
    make_scene,
    rewrite,
    server_ip,
)

SEEDS = [1, 2, 3]
ASKED = {"dss_checksum": True}


def mapped(run: Scene) -> list[Segment]:
    return [segment for _, segment in run.segments() if segment.options.dss and segment.options.dss.dsn is not None]


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("who", [{"client": ASKED}, {"server": ASKED}, ASKED])
def test_one_side_asks_and_both_use_them(who, version: int, loss: float) -> None:
    versions = {"mptcp_version": version, "mptcp_minimum_version": version}
    run = make_scene(1, [impaired(loss=loss)] * 2, coalesce_ns=0 if loss else MILLISECOND, **who, **versions)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
    assert all(segment.options.dss.checksum is not None for segment in mapped(run))
    third = [option for _, s in run.segments("client") for option in s.options.mptcp if isinstance(option, MpCapable)]
    assert third[-1].flags & 0x80


def test_nobody_asks() -> None:
    run = make_scene(1)
    exchange(run, UPLOAD, DOWNLOAD)
    assert all(segment.options.dss.checksum is None for segment in mapped(run))


def altering(source: bytes, *numbers: int, also: Callable[[Segment], bool] = lambda segment: True):
    """A middlebox that changes a byte of the data segments with these numbers from `source`, as an ALG would."""
    count = -1

    def change(segment: Segment) -> bool:
        nonlocal count
        if segment.src == source and segment.length:
            count += 1
            if count in numbers:
                data = bytearray(b"".join(segment.payload))
                data[0] ^= 0x55
                segment.payload = [memoryview(bytes(data))]
        return also(segment)

    return rewrite(change)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", [0, 5, 20])
def test_altered_data_come_again_on_another_subflow(number: int, seed: int) -> None:
    run = make_scene(seed, middlebox=altering(client_ip(2), number), **ASKED)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
    resets = [segment for _, segment in run.segments("server") if segment.flags & RST]
    assert resets[0].src == server_ip(2)
    assert isinstance(resets[0].options.mptcp[0], MpFail)
    assert run.server.stack.counters["MPTcpExtDataCsumErr"] == 1
    assert run.client.stack.counters["MPTcpExtMPFailRx"] == 1
    assert run.client.stack.counters["MPTcpExtMPRstRx"] == 1


def one_path(run: Scene, upload: bytes, download: bytes) -> tuple[Source, Source]:
    """Send both ways; returns both applications when they have ended."""
    client, server = Source(upload), Source(download)
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert client.error is server.error is None, run.network.diagnosis("failed")
    come_to_rest(run)
    return client, server


def wrong_bytes(received: bytes, sent: bytes) -> int:
    assert len(received) == len(sent)
    return sum(one != other for one, other in zip(received, sent, strict=True))


def drop_fails(count: int) -> Callable[[Segment], bool]:
    def keep(segment: Segment) -> bool:
        nonlocal count
        if any(isinstance(option, MpFail) for option in segment.options.mptcp):
            count -= 1
            return count < 0
        return True

    return keep


@pytest.mark.parametrize(("loss", "seed"), [(0.0, 1), (0.03, 1), (0.03, 2)])
@pytest.mark.parametrize(("lost", "download"), [(0, 0), (0, 100_000), (3, 0), (3, 100_000)])
@pytest.mark.parametrize("number", [0, 30])
def test_the_only_subflow_becomes_tcp(number: int, loss: float, lost: int, seed: int, download: int) -> None:
    """As on any TCP the altered bytes arrive, and everything else is what was sent."""
    run = make_scene(
        seed, [impaired(loss=loss)], middlebox=altering(client_ip(1), number, also=drop_fails(lost)), **ASKED
    )
    client, server = one_path(run, UPLOAD, pattern(download, 2))
    assert wrong_bytes(bytes(server.received), UPLOAD) <= 1
    assert wrong_bytes(bytes(client.received), pattern(download, 2)) == 0
    if not loss:
        assert wrong_bytes(bytes(server.received), UPLOAD) == 1
        assert server.connection.is_plain
        assert client.connection.is_plain
        assert run.server.stack.counters["MPTcpExtDataCsumErr"] == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_both_directions_are_altered(seed: int) -> None:
    numbers: dict[bytes, int] = {}

    def change(segment: Segment) -> bool:
        if segment.length:
            numbers[segment.src] = numbers.get(segment.src, 0) + 1
            if numbers[segment.src] == 10:
                segment.payload = [memoryview(bytes(segment.length))]
        return True

    run = make_scene(seed, [PATH], middlebox=rewrite(change), **ASKED)
    client, server = one_path(run, UPLOAD, DOWNLOAD)
    assert 0 < wrong_bytes(bytes(server.received), UPLOAD) <= 1500
    assert 0 < wrong_bytes(bytes(client.received), DOWNLOAD) <= 1500
    assert client.connection.is_plain
    assert server.connection.is_plain


def test_infinite_mapping_is_said_once_and_heard() -> None:
    run = make_scene(1, [PATH], middlebox=altering(client_ip(1), 3), **ASKED)
    one_path(run, UPLOAD, DOWNLOAD)
    infinite = [segment for segment in mapped(run) if not segment.options.dss.length]
    assert {segment.src for segment in infinite} == {client_ip(1), server_ip(1)}
    assert all(segment.options.dss.checksum == 0 for segment in infinite)
    for host in (run.client, run.server):
        assert host.stack.counters["MPTcpExtInfiniteMapTx"] == 1
        assert host.stack.counters["MPTcpExtMPFailTx"] >= 1
        assert host.stack.counters["MPTcpExtMPFailRx"] >= 1


def test_a_stream_in_pieces_over_two_subflows_cannot_become_tcp() -> None:
    """The other subflow is gone, but not all data went over the one that is left: the other path is joined again."""
    run = make_scene(1, middlebox=altering(client_ip(1), 150), **ASKED)
    client, server = Source(UPLOAD * 4), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: len(server.received) > 100_000, 10 * SECOND)
    client.connection.subflows[1].endpoint.abort(run.network.clock.now_ns)
    run.client.settle()
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert client.error is server.error is None
    assert not server.connection.is_plain
    assert run.client.stack.counters["MPTcpExtMPJoinSynTx"] == 2
    assert bytes(server.received) == UPLOAD * 4
