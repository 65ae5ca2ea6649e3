"""What routers say about our segments: too big, or not deliverable (RFC 1191, 8201, 5461, 5927)."""

import pytest

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.sending.sending import SEGMENT_CHARGE_BYTES
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Host, LinkSpec, Middlebox, Network, Sink, Source
from mptcp_stack.stack import StackConfig
from mptcp_stack.tcp import Address, State
from mptcp_stack.wire import SYN, Packet, Segment, decode, fragment
from tests.icmp import icmp_error, too_big
from tests.sim.scenes import (
    PATH,
    PORT,
    SERVER,
    UPLOAD,
    Scene,
    check_received,
    client_ip,
    come_to_rest,
    endpoint_of,
    exchange,
    idle_scene,
    impaired,
    make_scene,
    server_ip,
)

ROUTER = bytes((10, 0, 9, 1))
UNREACHABLE = 3
SHORT = UPLOAD[:40_000]
"""So little that no queue overflows."""


def narrow(scene: list[Scene], mtu: int, says: int | None, answers: bool = True, cuts: bool = True) -> Middlebox:
    """A router to a link of `mtu`; its error `says` another one (None: the truth), or it does not answer.

    It `cuts` what may be cut, or loses that, too.
    """

    def middlebox(packet: bytes) -> list[bytes]:
        if len(packet) <= mtu:
            return [packet]
        if cuts and not packet[6] & 0x40:
            return fragment(packet, mtu)
        if answers:
            sender = next(host for host in scene[0].network.hosts.values() if packet[12:16] in ips(host))
            sender.deliver(too_big(ROUTER, packet, mtu if says is None else says))
        return []

    return middlebox


def ips(host: Host) -> list[bytes]:
    return [address.ip for address in host.stack.addresses]


def narrow_scene(
    mtu: int, says: int | None = None, answers: bool = True, paths: int = 1, cuts: bool = True, **settings: int | bool
) -> Scene:
    holder: list[Scene] = []
    middlebox = narrow(holder, mtu, says, answers, cuts)
    settings.setdefault("mptcp", paths > 1)
    holder.append(make_scene(1, [PATH] * paths, middlebox=middlebox, **settings))
    return holder[0]


@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("mtu", [1400, 1000, 576, 552, 551, 400, 100, 68])
def test_path_mtu_is_found(mtu: int, paths: int) -> None:
    """One burst is lost, without a timeout and without a smaller window; later connections know from the start.

    Below 552 bytes routers cut, and the rest of MPTCP gets through as well.
    """
    run = narrow_scene(mtu, paths=paths)
    exchange(run, SHORT, b"")
    counters = run.client.stack.counters
    assert counters["TcpExtTCPTimeouts"] == counters["TcpExtTCPSackRecovery"] == 0
    before = counters["IcmpInMsgs"]
    assert 0 < before <= 10 * paths
    server = Sink()
    run.server.listen(Address(b"", PORT + 1), lambda: server)
    client = Source(SHORT)
    run.client.connect(Address(SERVER.ip, PORT + 1), client)
    run.network.run_until(lambda: client.closed and server.closed, run.network.clock.now_ns + 20 * SECOND)
    check_received(run, server, SHORT)
    if paths == 1:  # else the other path may not have been used before
        assert counters["IcmpInMsgs"] == before


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("mtu", [300, 128, 92, 80, 68])
def test_link_of_next_to_nothing(mtu: int, checksums: bool) -> None:
    """MPTCP's options and a byte of data are 81 bytes: on our own link, too, they then leave in parts."""
    links = [impaired(mtu=mtu)] * 2
    run = make_scene(1, links, mtu=mtu, dss_checksum=checksums)
    client, _ = exchange(run, UPLOAD[:500], UPLOAD[:300], limit_ns=100 * SECOND)
    assert client.connection.is_mptcp


def test_path_mtu_of_a_router_that_does_not_say() -> None:
    """Zero is what routers older than RFC 1191 say."""
    run = narrow_scene(1100, says=0)
    exchange(run, UPLOAD, b"")
    assert run.client.stack.counters["TcpExtTCPTimeouts"] == 0


def test_path_mtu_is_forgotten() -> None:
    """After ten minutes the path may have become another one: a full segment tries."""
    run = narrow_scene(1000)
    run.server.listen(Address(b"", PORT), Sink)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    client.write(UPLOAD)
    run.client.settle()
    run.network.run_for(SECOND)
    sender = client.connection.subflows[0].endpoint.sender
    assert sender.mss == 1000 - 40 - 12
    run.network.run_for(601 * SECOND)
    assert sender.mss == 1500 - 40 - 12


@pytest.mark.parametrize(
    ("says", "mss", "whole"),
    [
        (68, 552 - 52, False),
        (551, 552 - 52, False),
        (552, 552 - 52, True),
        (1499, 1499 - 52, True),
        (1500, 1448, True),
        (9000, 1448, True),
    ],
)
def test_bounds_of_a_path_mtu(says: int, mss: int, whole: bool) -> None:
    """RFC 5927 section 7: nothing makes segments tiny, and nothing makes them grow; but routers may be let cut them."""
    run = idle_scene()
    (connection,) = run.client.stack.connections
    connection.send(bytes(5000))
    run.client.settle()
    run.client.stack.receive([Packet([too_big(ROUTER, last_packet(run), says)])], run.network.clock.now_ns)
    assert endpoint_of(run.client).sender.mss == mss
    run.network.run_for(SECOND)
    connection.send(bytes(5000))
    run.client.settle()
    assert bool(last_packet(run)[6] & 0x40) == whole


@pytest.mark.parametrize("offset", [-1, -5000, 100_000])
def test_errors_about_what_is_not_under_way(offset: int) -> None:
    """RFC 5927 section 4.1: somebody who does not see the segments has to guess."""
    run = idle_scene()
    (connection,) = run.client.stack.connections
    connection.send(bytes(5000))
    run.client.settle()
    endpoint = endpoint_of(run.client)
    segment = decode(Packet([last_packet(run)]))
    una = endpoint.sender.scoreboard.una
    forged = Segment(segment.src, segment.dst, segment.sport, segment.dport, (una + offset) % 2**32)
    for code, rest in ((4, 600), (3, 0)):
        run.client.stack.receive(
            [Packet([icmp_error(ROUTER, forged, UNREACHABLE, code, rest)])], run.network.clock.now_ns
        )
    assert endpoint.sender.mss == 1448
    assert run.client.stack.counters["TcpExtOutOfWindowIcmps"] == 2


def last_packet(run: Scene) -> bytes:
    return next(record.packet for record in reversed(run.network.trace) if record.host == "client")


@pytest.mark.parametrize("mptcp", [True, False])
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("mtu", [1400, 1064, 600, 552, 551, 400, 100, 68])
def test_black_hole(mtu: int, paths: int, mptcp: bool) -> None:
    """Full segments vanish and nobody says why (RFC 2923 section 2.1): smaller ones are tried, some may be cut."""
    run = narrow_scene(mtu, answers=False, paths=paths, mptcp=mptcp)
    exchange(run, SHORT, b"", limit_ns=20 * SECOND)
    assert run.client.stack.counters["PathMtuBlackHoles"] <= 6 * paths


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize(("mtu", "mptcp"), [(551, True), (400, True), (128, True), (400, False), (80, False)])
def test_black_hole_for_what_should_be_cut(mtu: int, mptcp: bool, answers: bool) -> None:
    """No router of IPv4 may lose what is too large and may be cut (RFC 791); where one does, even less is tried."""
    run = narrow_scene(mtu, answers=answers, cuts=False, mptcp=mptcp)
    exchange(run, SHORT, b"", limit_ns=60 * SECOND)


@pytest.mark.parametrize("mtu", [600, 400])
def test_black_hole_for_small_segments(mtu: int) -> None:
    """They are not full, but too long all the same."""
    run = narrow_scene(mtu, answers=False)
    server = Sink()
    run.server.listen(Address(b"", PORT), lambda: server)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    client.write(bytes(700))
    run.client.settle()
    run.network.run_until(lambda: len(server.received) == 700, 20 * SECOND)


def test_a_narrow_path_that_is_known_is_tried_at_once_the_next_time() -> None:
    """What was found is used for 10 s, and longer each time it was right; in between full segments are tried."""
    run = narrow_scene(400, answers=False)
    server, client = Sink(), Application()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    sender = client.connection.subflows[0].endpoint.sender
    sizes = []
    for _ in range(120):
        client.write(bytes(2000))
        run.client.settle()
        run.network.run_for(SECOND)
        sizes.append(sender.mss)
    assert len(server.received) > 110 * 2000
    assert sizes.count(1448) < 20
    assert sizes[-1] == 552 - 52


def test_a_path_that_was_down_gets_full_segments_again() -> None:
    run = make_scene(1, [PATH], mptcp=False)
    run.server.listen(Address(b"", PORT), Application)
    client = Application()
    run.client.connect(SERVER, client)
    client.on_connected = lambda: client.write(UPLOAD)  # type: ignore[method-assign]
    run.network.run_for(100 * MILLISECOND)
    for path in run.paths[0]:
        path.hold_until(3 * SECOND)
    sender = client.connection.subflows[0].endpoint.sender
    run.network.run_for(2900 * MILLISECOND - run.network.clock.now_ns)
    assert sender.mss < 1100
    run.network.run_for(SECOND)
    assert sender.mss == 1448


# --- not deliverable


@pytest.mark.parametrize(
    ("code", "error"),
    [(0, "Network is unreachable"), (1, "No route to host"), (3, "Connection refused"), (13, "No route to host")],
)
@pytest.mark.parametrize("mptcp", [True, False])
def test_connecting_fails_at_once(code: int, error: str, mptcp: bool) -> None:
    run = make_scene(1, [PATH], mptcp=mptcp)
    client = Application()
    run.client.connect(SERVER, client)
    ((_, syn),) = run.segments("client")
    assert syn.flags == SYN
    run.client.deliver(icmp_error(ROUTER, syn, UNREACHABLE, code))
    run.network.run_until(lambda: client.closed, SECOND)
    assert client.error is not None
    assert client.error.strerror == error
    assert not client.connected


@pytest.mark.parametrize("code", [0, 1, 2, 3, 13])
def test_a_connection_survives_and_knows_why_it_fails_later(code: int) -> None:
    """RFC 5461: not even a hard error ends it; but when it times out, that is the reason (as in Linux)."""
    run = idle_scene(data_retries=3)
    (connection,) = run.client.stack.connections
    endpoint = connection.subflows[0].endpoint
    run.paths[0][0].middlebox = lambda packet: []
    connection.send(bytes(1000))
    run.client.settle()
    run.client.deliver(icmp_error(ROUTER, decode(Packet([last_packet(run)])), UNREACHABLE, code))
    run.network.run_for(SECOND)
    assert endpoint.state is State.ESTABLISHED
    run.network.run_for(60 * SECOND)
    assert connection.error is not None
    assert not isinstance(connection.error, TimeoutError)


def test_a_join_that_is_not_deliverable_leaves_the_connection_alone() -> None:
    holder: list[Scene] = []

    def middlebox(packet: bytes) -> list[bytes]:
        segment = decode(Packet([packet]))
        if segment.src == client_ip(2):
            holder[0].client.deliver(icmp_error(ROUTER, segment, UNREACHABLE, 1))
            return []
        return [packet]

    holder.append(make_scene(1, [PATH] * 2, middlebox=middlebox))
    client, _ = exchange(holder[0], UPLOAD, b"")
    assert client.connection.is_mptcp


# --- links of different kinds


def test_each_address_has_the_mtu_of_its_link() -> None:
    """A jumbo frame link beside a usual one (the simulator's links refuse what is too long for them)."""
    network = Network(1)
    hosts = []
    for name, address in (("client", client_ip), ("server", server_ip)):
        addresses = (LocalAddress(address(1), 24, mtu=9000), LocalAddress(address(2), 24))
        hosts.append(network.add_host(name, StackConfig(addresses=addresses)))
    run = Scene(network, *hosts, [])
    for path, mtu in ((1, 9000), (2, 1500)):
        spec = PATH if mtu == 1500 else type(PATH)(rate_bps=PATH.rate_bps, delay_ns=PATH.delay_ns, mtu=mtu)
        run.paths.append(network.add_path(client_ip(path), server_ip(path), spec))
    exchange(run, UPLOAD, b"")
    longest = [
        max(len(record.packet) for record in network.trace if record.packet[12:16] == client_ip(path))
        for path in (1, 2)
    ]
    assert 8000 < longest[0] <= 9000
    assert 1400 < longest[1] <= 1500
    come_to_rest(run)


def test_short_segments_take_more_of_the_peers_window_than_their_bytes() -> None:
    """A receiver that pays for segments (Linux) has room for all of them while it waits for the first."""
    spec = LinkSpec(rate_bps=PATH.rate_bps, delay_ns=PATH.delay_ns, queue_bytes=200_000, mtu=552)
    run = make_scene(1, [spec] * 2, mtu=552, receive_buffer_bytes=65_536)
    client, server = Source(UPLOAD), Sink()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.connected, SECOND)
    allowed = 65_536 * client.connection.subflows[0].endpoint.sender.mss // SEGMENT_CHARGE_BYTES
    unacknowledged = [0]
    while not client.closed:
        run.network.run_for(MILLISECOND)
        queue = client.connection.sending.queue
        unacknowledged.append(queue.next - queue.base)
    assert 0.8 * allowed < max(unacknowledged) <= allowed
    assert bytes(server.received) == UPLOAD


@pytest.mark.parametrize("mptcp", [False, True])
@pytest.mark.parametrize("length", [500, 1000, 5000])
def test_small_segments_of_a_dark_time_leave_a_window_for_full_ones(length: int, mptcp: bool) -> None:
    """One small segment is the window after timeouts; when segments may be full again, it must hold one of those."""
    run = make_scene(1, [PATH], mptcp=mptcp)
    server, client = Sink(), Application()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    for link in run.paths[0]:
        link.middlebox = lambda packet: []
    client.write(bytes(500))
    run.client.settle()
    run.network.run_for(20 * SECOND)
    for link in run.paths[0]:
        link.middlebox = None
    run.network.run_until(lambda: len(server.received) == 500, 120 * SECOND)
    run.network.run_for(10 * SECOND)
    client.write(bytes(length))
    run.client.settle()
    run.network.run_for(10 * SECOND)
    assert len(server.received) == 500 + length
