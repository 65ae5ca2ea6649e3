"""Peers that send, select and announce in crumbs, so that each byte costs us hundreds (`tests.sim.resources`)."""

import gc
from random import Random

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.keys import add_addr_hmac
from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, pattern
from mptcp_stack.sim.network import CLOSED_KEPT
from mptcp_stack.stack import LocalAddress, Stack, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.scoreboard import Delivery
from mptcp_stack.wire import AddAddr, Packet, RemoveAddr, complete, encode
from tests.sim.attacks.hostile import Quiet, application_of, connected, forge, strike, victim_of
from tests.sim.resources import CRUMBS, begin_crumbs, content, lives
from tests.sim.scenes import PORT, SERVER, exchange, make_scene

ORDERED = [name for name, (spread, *_) in CRUMBS.items() if spread == 1]


@pytest.mark.parametrize("name", CRUMBS)
def test_single_bytes_cost_little(name: str) -> None:
    """Until the window is full, or what comes before its turn is refused."""
    spread, mptcp, data_level = CRUMBS[name]
    window = 4 << 10 if name in ORDERED else 128 << 10
    crumbs = begin_crumbs(spread, mptcp=mptcp, data_level=data_level, receive_buffer_bytes=window)
    assert crumbs.send_until_full() <= 4 * window
    assert bool(crumbs.refused) == (name not in ORDERED)


@pytest.mark.parametrize("name", [name for name in CRUMBS if name not in ORDERED])
def test_what_is_refused_can_be_sent_again(name: str) -> None:
    """What TCP has acknowledged in order and the connection could not hold comes again as data, and completes it."""
    spread, mptcp, data_level = CRUMBS[name]
    crumbs = begin_crumbs(spread, mptcp=mptcp, data_level=data_level, receive_buffer_bytes=64 << 10)
    crumbs.send(2000)
    assert crumbs.refused
    length = crumbs.repeat()
    connection = crumbs.victim
    assert b"".join(connection.receive()) == content(0, length)
    assert connection.receiving.may_hold(subflow.charge for subflow in connection.subflows)


@pytest.mark.parametrize("mptcp", [False, True])
def test_refused_data_are_not_acknowledged(mptcp: bool) -> None:
    crumbs = begin_crumbs(2, mptcp=mptcp, receive_buffer_bytes=64 << 10)
    while not crumbs.refused:
        crumbs.send(1)
    (subflow,) = crumbs.victim.subflows
    assert len(subflow.endpoint.receiver.reassembly.ranges) == crumbs.sent - 1
    ranges = subflow.endpoint.receiver.reassembly.ranges
    assert all(ranges.covers(*block) for block in subflow.endpoint.receiver.sack_blocks())
    crumbs.send(500)
    assert len(ranges) == crumbs.sent - 501


@pytest.mark.parametrize("settings", [{"receive_buffer_bytes": 20_000}, {}], ids=["small buffer", "default"])
def test_honest_small_writes_over_unequal_paths_arrive(settings: dict[str, int]) -> None:
    """Single bytes on two subflows in turns, one of them slow: more pieces wait than a small buffer can afford."""
    paths = [LinkSpec(delay_ns=MILLISECOND), LinkSpec(delay_ns=200 * MILLISECOND)]
    scene = make_scene(1, paths, nodelay=True, scheduler="round-robin", server=settings)
    server, client = Quiet(), Quiet()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    scene.network.run_for(2 * SECOND)
    data = pattern(6000)
    for n in range(len(data)):
        client.write(data[n : n + 1])
        scene.client.settle()
        if n % 4 == 0:
            scene.network.run_for(MILLISECOND // 10)
    scene.network.run_until(lambda: len(server.received) == len(data), 600 * SECOND)
    assert bytes(server.received) == data
    assert bool(scene.server.stack.counters["MPTcpExtRcvPruned"]) == bool(settings)


def test_honest_traffic_is_never_refused() -> None:
    """Full segments of a full window behind a loss, on both subflows, are what a buffer is for."""
    lossy = LinkSpec(rate_bps=50_000_000, delay_ns=20 * MILLISECOND, queue_bytes=400_000, loss=0.02, reorder=0.05,
                     reorder_extra_ns=5 * MILLISECOND)  # fmt: skip
    scene = make_scene(1, [lossy, lossy], receive_buffer_bytes=200_000)
    exchange(scene, pattern(1_500_000), b"")
    counters = scene.server.stack.counters
    assert (counters["TcpExtTCPOFODrop"], counters["MPTcpExtRcvPruned"]) == (0, 0)


@pytest.mark.parametrize("mptcp", [True, False])
def test_selective_acknowledgements_of_single_bytes(mptcp: bool) -> None:
    """CVE-2019-11478: they make no more records than full segments do, and the data arrive all the same."""
    scene = connected(1, mptcp=mptcp, pacing=False, send_buffer_bytes=1 << 20)
    data = pattern(900_000)
    application_of(scene.server).write(data)
    scene.server.settle()
    scene.network.run_for(400 * MILLISECOND)
    (subflow,) = victim_of(scene.server).subflows
    board = subflow.endpoint.sender.scoreboard
    una, flight = board.una, board.next - board.una
    assert flight > 30_000
    places = Random(1).sample(range(1, flight - 2, 2), 4000)
    now = scene.network.clock.now_ns
    for n in range(0, len(places), 4):
        blocks = tuple(((una + at) % 2**32, (una + at + 1) % 2**32) for at in places[n : n + 4])
        packet = Packet([complete(encode(forge(subflow, ack=una, sack=blocks, later=0)))])
        scene.server.stack.receive([packet], now)
    assert len(list(board)) <= 256 + flight // 1024 + 16
    assert board.sacked.total == sum(one.size for one in board if one.delivery is Delivery.SACKED)
    scene.server.settle()
    scene.network.run_for(60 * SECOND)
    assert bytes(application_of(scene.client).received) == data


@pytest.mark.parametrize("mptcp", [True, False])
def test_single_bytes_that_nobody_acknowledges(mptcp: bool) -> None:
    """An echo server to a peer that sends single bytes: the answers wait together, not each with a record."""
    scene = connected(1, mptcp=mptcp, nodelay=True)
    server = application_of(scene.server)
    server.write(pattern(100_000))
    scene.server.settle()
    scene.network.run_for(SECOND)
    (subflow,) = victim_of(scene.server).subflows
    board, sending = subflow.endpoint.sender.scoreboard, victim_of(scene.server).sending
    assert subflow.cwnd_bytes > 20_000
    for n in range(3000):
        server.write(bytes([n & 0xFF]))
        scene.server.stack.transmit(scene.network.clock.now_ns)
    assert len(list(board)) <= 1024 + 10
    assert len(sending.queue._views) < 20
    scene.server.settle()
    scene.network.run_for(60 * SECOND)
    assert bytes(application_of(scene.client).received)[100_000:] == bytes(n & 0xFF for n in range(3000))


def test_data_that_only_tcp_acknowledges_are_noted_in_few_spans() -> None:
    """A peer that never sends a DATA_ACK: what each subflow has carried is remembered, roughly."""
    scene = connected(2, nodelay=True, scheduler="round-robin")
    first, second = victim_of(scene.server).subflows
    base = victim_of(scene.server).sending.queue.base
    for n in range(base, base + 10_000, 2):
        first.carry(n, n + 1)
        second.carry(n, n + 2)
    assert len(first._carried) <= 1024 >= len(second._carried)
    assert all(first.carries(n) and second.carries(n) for n in range(base, base + 10_000, 2))


def test_addresses_announced_while_nothing_can_be_said() -> None:
    """Echoes wait for a subflow that can say them; a peer that goes on announcing does not make them more and more."""
    scene = connected(1)
    client, server = victim_of(scene.client), victim_of(scene.server)
    (subflow,) = client.subflows
    client.shutdown()
    subflow.endpoint.finish(scene.network.clock.now_ns)
    assert not subflow.usable
    for n in range(500):
        ip = bytes((10, 9, n >> 8, n & 0xFF))
        option = AddAddr(7, ip, None, add_addr_hmac(server.local_key, server.remote_key, 7, ip, None))
        strike(scene, scene.client, forge(subflow, b"", option))
        strike(scene, scene.client, forge(subflow, b"", RemoveAddr((7,))))
    assert len(client.signals._waiting) <= 256


def connections_in_memory() -> int:
    gc.collect()
    return sum(type(one) is Connection for one in gc.get_objects())


@pytest.mark.parametrize("mptcp", [True, False])
def test_connections_that_have_closed_are_gone(mptcp: bool) -> None:
    """Beside one that stays: the keep-alives of the others lay in the heap for hours."""
    live_and_die = lives(mptcp=mptcp)
    before = connections_in_memory()
    live_and_die(200)
    assert connections_in_memory() == before + 2 * CLOSED_KEPT  # those of which the simulator can still tell


def test_an_aborted_connection_that_waits_for_its_peer_holds_no_data() -> None:
    """MP_FASTCLOSE is said on ACKs for fifteen timeouts, which a peer can make minutes: no data must wait with it."""
    scene = connected(2, fastclose="ack")
    server, client = application_of(scene.server), application_of(scene.client)
    server.handle_readable = lambda: None  # type: ignore[method-assign]
    client.write(pattern(100_000))
    server.write(pattern(400_000))
    for host in (scene.client, scene.server):
        host.settle()
    scene.network.run_for(50 * MILLISECOND)
    connection = victim_of(scene.server)
    endpoints = [subflow.endpoint for subflow in connection.subflows]
    assert connection.receive_ready
    assert connection.sending.unsent_bytes
    assert all(endpoint.sender.scoreboard.first for endpoint in endpoints)
    connection.abort()
    scene.server.stack.transmit(scene.network.clock.now_ns)
    assert scene.server.stack.flow_states()["FASTCLOSE-WAIT"] == 1
    assert connection.receive_ready == connection.receiving._reassembly.charge == 0
    assert not connection.sending.queue._views
    assert any(endpoint.sender.scoreboard.first is None for endpoint in endpoints)
    scene.server.settle()
    scene.network.run_for(100 * SECOND)
    assert not scene.server.stack.flow_states()
    assert not scene.client.stack.connections


def test_an_address_id_names_one_address() -> None:
    """RFC 8684 section 3.4: also when one comes back whose ID another one had to have."""
    stack = Stack(StackConfig(addresses=(LocalAddress(b"\x0a\0\0\1", 24),)), Random(1))
    first = b"\x0a\1\0\1"
    kept = stack.add_address(LocalAddress(first, 24), 0).address_id
    stack.remove_address(first, 0)
    taken = []
    for n in range(300):
        ip = bytes((10, 2, n >> 8, n & 0xFF))
        added = stack.add_address(LocalAddress(ip, 24), 0)
        taken.append(added.address_id)
        if added.address_id == kept:
            break
        stack.remove_address(ip, 0)
    assert kept in taken
    stack.add_address(LocalAddress(first, 24), 0)
    ids = [address.address_id for address in stack.addresses]
    assert len(set(ids)) == len(ids) == 3


def test_an_address_that_comes_back_has_its_id_again() -> None:
    stack = Stack(StackConfig(addresses=(LocalAddress(b"\x0a\0\0\1", 24),)), Random(1))
    ips = [bytes((10, 2, 0, n)) for n in range(200)]
    ids = {ip: stack.add_address(LocalAddress(ip, 24), 0).address_id for ip in ips}
    for ip in ips:
        stack.remove_address(ip, 0)
    for ip in reversed(ips):
        assert stack.add_address(LocalAddress(ip, 24), 0).address_id == ids[ip]


def test_addresses_that_come_and_go_are_not_remembered_for_ever() -> None:
    stack = Stack(StackConfig(addresses=(LocalAddress(b"\x0a\0\0\1", 24),)), Random(1))
    for n in range(2000):
        ip = b"\xfd" + bytes(11) + n.to_bytes(4, "big")
        stack.add_address(LocalAddress(ip, 64), 0)
        stack.remove_address(ip, 0)
    assert len(stack._own.ids) <= 255


def test_an_address_id_of_ones_own_must_be_free() -> None:
    stack = Stack(StackConfig(addresses=(LocalAddress(b"\x0a\0\0\1", 24, address_id=3),)), Random(1))
    with pytest.raises(ValueError, match="address ID 3"):
        stack.add_address(LocalAddress(b"\x0a\0\0\2", 24, address_id=3), 0)
    assert stack.add_address(LocalAddress(b"\x0a\0\0\2", 24, address_id=4), 0).address_id == 4
