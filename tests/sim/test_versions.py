"""MP_CAPABLE in its forms: versions 0 and 1, flags, and offers that we do not know (RFC 8684 section 3.1)."""

import hashlib
from itertools import product

import pytest

from mptcp_stack.mptcp import keys
from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.sim import MILLISECOND, Application, Sink
from mptcp_stack.tcp import Address
from mptcp_stack.wire import AddAddr, MpCapable, MpJoinSyn, MpTcpRst, ResetReason, Segment, UnknownMptcp
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    RST,
    SERVER,
    SYN,
    UPLOAD,
    Scene,
    exchange,
    impaired,
    make_scene,
    rewrite,
    server_ip,
)

SEEDS = [1, 2, 3]
V0 = {"mptcp_version": 0, "mptcp_minimum_version": 0}
BOTH = {"mptcp_minimum_version": 0}


def capables(run: Scene, host: str) -> list[MpCapable]:
    return [option for _, segment in run.segments(host) if (option := find(segment.options, MpCapable)) is not None]


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("seed", SEEDS)
def test_version_0(seed: int, loss: float) -> None:
    run = make_scene(seed, [impaired(loss=loss)] * 2, **V0)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
    assert all(option.version == 0 for host in ("client", "server") for option in capables(run, host))
    syn, third = capables(run, "client")[0], capables(run, "client")[-1]
    assert syn.sender_key == third.sender_key == client.connection.local_key.value
    assert client.connection.local_key.token == int.from_bytes(hashlib.sha1(syn.sender_key).digest()[:4], "big")
    announced = [option for _, s in run.segments("server") for option in s.options.mptcp if isinstance(option, AddAddr)]
    assert announced == [AddAddr(2, server_ip(2))]
    if not loss:
        assert min(run.carried()) > 50_000


@pytest.mark.parametrize(
    ("client", "server", "version"),
    [(V0, BOTH, 0), ({}, BOTH, 1), (BOTH, {}, 1), (V0, {}, None), ({}, V0, None), (V0, V0, 0)],
)
def test_the_highest_version_that_both_speak(client, server, version: int | None) -> None:
    run = make_scene(1, client=client, server=server)
    one, other = exchange(run, UPLOAD, DOWNLOAD)
    assert one.connection.is_mptcp == other.connection.is_mptcp == (version is not None)
    if version is not None:
        assert one.connection.version == other.connection.version == version


def test_lost_third_ack_of_version_0() -> None:
    """The keys are known from the SYN, so that the first DSS completes the handshake."""

    def drop(segment: Segment) -> bool:
        option = find(segment.options, MpCapable)
        return option is None or option.receiver_key is None

    run = make_scene(1, middlebox=rewrite(drop), **V0)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp


@pytest.mark.parametrize("extra", [b"", b"\1\2\3\4\5\6\7\x08"])
def test_later_version_is_answered_with_ours(extra: bytes) -> None:
    """And a client of that version may then go on with it."""

    def later(segment: Segment) -> bool:
        option = find(segment.options, MpCapable)
        if option is not None and segment.flags & SYN and option.sender_key is None:
            segment.options.mptcp = (UnknownMptcp(0, bytes((0x02, 0x01)) + extra),)
        return True

    run = make_scene(1, middlebox=rewrite(later))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert capables(run, "server")[0].version == 1
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp


@pytest.mark.parametrize("flags", [0x41, 0x00, 0x80])
def test_unknown_cryptography_is_not_answered(flags: int) -> None:
    def change(segment: Segment) -> bool:
        option = find(segment.options, MpCapable)
        if option is not None:
            option.flags = flags
        return True

    run = make_scene(1, middlebox=rewrite(change))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp
    assert capables(run, "server") == []


def test_flag_c_keeps_joins_from_the_initial_address() -> None:
    run = make_scene(1, server={"allow_join_initial_address": False})
    client, _ = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert capables(run, "server")[0].flags & 0x20
    joins = {s.dst for _, s in run.segments("client") if any(isinstance(o, MpJoinSyn) for o in s.options.mptcp)}
    assert joins == {server_ip(2)}


def test_join_that_disregards_flag_c_is_refused() -> None:
    run = make_scene(1, server={"allow_join_initial_address": False})
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Application())
    run.network.run_for(300 * MILLISECOND)
    (client,), (server,) = run.client.stack.connections, run.server.stack.connections
    before = len(server.subflows)
    client.joins_initial_address = True
    client.open_subflow(run.client.stack.addresses[0], 0, SERVER, run.network.clock.now_ns)
    run.client.settle()
    run.network.run_for(300 * MILLISECOND)
    assert len(server.subflows) == len(client.subflows) == before
    assert run.server.stack.counters["MPTcpExtMPJoinRejected"] == 1
    (reset,) = [segment for _, segment in run.segments("server") if segment.flags & RST]
    assert reset.options.mptcp == (MpTcpRst(0, ResetReason.MPTCP),)


@pytest.mark.pure("replaces functions of modules")
@pytest.mark.parametrize(("edge", "seed"), list(product([1 << 32, 1 << 64], SEEDS)))
def test_data_sequence_numbers_wrap(edge: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Initial data sequence numbers a little below the edge, both ways."""

    class Digest:
        def __init__(self, value: bytes) -> None:
            self.value = value

        def digest(self) -> bytes:
            return hashlib.sha256(self.value).digest()[:24] + (edge - 30_000).to_bytes(8, "big")

    monkeypatch.setitem(keys.HASHES, 1, Digest)
    monkeypatch.setattr(keys, "join_hmac", lambda *_: bytes(32))
    monkeypatch.setattr("mptcp_stack.mptcp.opening.handshake.join_hmac", lambda *_: bytes(32))
    monkeypatch.setattr("mptcp_stack.mptcp.addresses.announcements.add_addr_hmac", lambda *_: bytes(8))
    run = make_scene(seed, [impaired(loss=0.02)] * 2)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
    assert client.connection.local_key.idsn + client.connection.sending.queue.base > edge


@pytest.mark.parametrize(("bits", "seed"), list(product([(32, 32), (32, 64), (64, 32)], SEEDS)))
def test_numbers_of_32_bits_wrap(bits: tuple[int, int], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where one side or both send the short forms of DSN and DATA_ACK."""

    class Digest:
        def __init__(self, value: bytes) -> None:
            self.value = value

        def digest(self) -> bytes:
            return hashlib.sha256(self.value).digest()[:24] + ((7 << 32) - 30_000).to_bytes(8, "big")

    monkeypatch.setitem(keys.HASHES, 1, Digest)
    run = make_scene(seed, [PATH], client={"dsn_bits": bits[0]}, server={"dsn_bits": bits[1]})
    run.server.listen(Address(b"", PORT), lambda: Sink())
    application = Application()
    run.client.connect(SERVER, application)
    run.network.run_for(200 * MILLISECOND)
    application.write(UPLOAD)
    run.client.settle()
    run.network.run_for(1000 * MILLISECOND)
    (server,) = run.server.stack.connections
    assert server.is_mptcp
    assert server.receiving.next == len(UPLOAD)
    for host, own in zip(("client", "server"), bits, strict=True):
        signals = [segment.options.dss for _, segment in run.segments(host) if segment.options.dss is not None]
        assert {signal.data_ack_64 for signal in signals} == {own == 64}
        assert {signal.dsn_64 for signal in signals if signal.dsn is not None} <= {own == 64}


@pytest.mark.parametrize("seed", SEEDS)
def test_version_0_with_a_server_that_keeps_nothing(seed):
    scene = make_scene(seed, [impaired(loss=0.05)] * 2, syn_cookies="always", **V0)
    client, _ = exchange(scene, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
