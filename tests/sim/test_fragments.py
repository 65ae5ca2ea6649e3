"""What routers cut on its way to us, and extension headers of IPv6, at the stack and on whole connections."""

from random import Random

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, Source
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, SYN, Packet, Segment, complete, decode, encode, fragment
from tests.icmp import icmp_quoting, too_big
from tests.ip import DESTINATION, FRAGMENT, HOP_BY_HOP, PADDING, ROUTING, part, parts, with_extension
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    UPLOAD,
    Scene,
    client_ip,
    come_to_rest,
    endpoint_of,
    exchange,
    idle_scene,
    impaired,
    make_scene,
    server_ip,
)

ROUTER = {4: bytes((10, 0, 9, 1)), 6: bytes.fromhex("fd09" + "00" * 13 + "01")}
PREFIX = {4: "Ip", 6: "Ip6"}


def syn_to_server(version: int) -> bytes:
    segment = Segment(client_ip(1, version), server_ip(1, version), 4000, PORT, 100, 0, SYN, 1000)
    segment.options.mss = 1460
    return complete(encode(segment))


def listening(version: int) -> Scene:
    run = make_scene(1, [PATH], versions=(version,))
    run.server.listen(Address(b"", PORT), Application)
    return run


def answers(run: Scene, *packets: bytes) -> list[int]:
    """Flags of what the server sends when it is given these packets."""
    run.server.stack.receive([Packet([packet]) for packet in packets], 0)
    return [decode(Packet([complete(packet)])).flags for packet in run.server.stack.transmit(0)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("last_first", [False, True])
def test_a_syn_in_two_parts(version: int, last_first: bool) -> None:
    run = listening(version)
    first, last = parts(syn_to_server(version), 16)
    assert answers(run, *((last, first) if last_first else (first, last))) == [SYN | ACK]
    counters = run.server.stack.counters
    assert counters[f"{PREFIX[version]}ReasmOKs"] == 1
    assert not counters["TcpInErrs"]


@pytest.mark.parametrize("version", [4, 6])
def test_half_a_packet_is_forgotten_in_time(version: int) -> None:
    run = listening(version)
    first, _ = parts(syn_to_server(version), 16)
    run.server.deliver(first)
    come_to_rest(run, 70 * SECOND)
    counters = run.server.stack.counters
    assert counters[f"{PREFIX[version]}ReasmTimeout"] == counters[f"{PREFIX[version]}ReasmFails"] == 1


@pytest.mark.parametrize("version", [4, 6])
def test_an_error_in_parts_is_obeyed(version: int) -> None:
    """Its quote may be long, and its way narrow."""
    run = make_scene(1, [PATH], mptcp=False, versions=(version,))
    run.server.listen(Address(b"", PORT), Application)
    run.client.connect(Address(server_ip(1, version), PORT), Application())
    run.network.run_for(200 * MILLISECOND)
    (connection,) = run.client.stack.connections
    connection.send(bytes(5000))
    run.client.settle()
    sent = next(record.packet for record in reversed(run.network.trace) if record.host == "client")
    error = icmp_quoting(
        ROUTER[version], sent, *((3, 4) if version == 4 else (2, 0)), 1300, None, client_ip(1, version)
    )
    pieces = parts(error, 512, 1024)
    run.client.stack.receive([Packet([piece]) for piece in reversed(pieces)], run.network.clock.now_ns)
    assert endpoint_of(run.client).sender.mss == 1300 - (52 if version == 4 else 72)
    assert run.client.stack.counters["IcmpInMsgs" if version == 4 else "Icmp6InMsgs"] == 1


def in_parts(packet: bytes, size: int, ident: int) -> list[bytes]:
    """A packet cut by a router that may."""
    free = bytearray(packet)
    free[6] &= 0x0F
    return [part(bytes(free), at, at + size, ident=ident) for at in range(0, len(free) - 20, size)]


@pytest.mark.parametrize("mtu", [1000, 576, 100, 68])
def test_a_peer_that_lets_routers_cut(mtu: int) -> None:
    """As Linux with ip_no_pmtu_disc=1: every segment comes in parts, out of order and twice."""
    random = Random(1)

    def cut(packet: bytes) -> list[bytes]:
        pieces = in_parts(packet, (mtu - 20) // 8 * 8, random.randrange(1 << 16))
        if random.random() < 0.1:
            pieces.append(random.choice(pieces))
        random.shuffle(pieces)
        return pieces

    run = make_scene(1, [PATH, impaired(loss=0.002)], middlebox=[cut, None])
    _, server = exchange(run, UPLOAD, DOWNLOAD)
    assert server.connection.is_mptcp
    for host in (run.client, run.server):
        assert host.stack.counters["IpReasmOKs"] > 20
        assert not host.stack.counters["TcpInErrs"]


@pytest.mark.parametrize("size", [8, 1480])
def test_a_flood_of_parts_keeps_nothing_out(size: int) -> None:
    """Far more than is held, from the peer's address, beside a transfer of which every packet comes in two parts."""
    random = Random(1)
    ident = 0

    def flooded(packet: bytes) -> list[bytes]:
        nonlocal ident
        ident = (ident + 1) % 5000
        pieces = in_parts(packet, 744, ident)
        filler = packet + bytes(66_000)
        for _ in range(30):
            start = random.randrange(8, 60_000, 8)
            pieces.insert(1, part(filler, start, start + size, True, random.randrange(5000, 65_536)))
        return pieces

    run = make_scene(1, [impaired(rate_bps=None)], middlebox=[flooded], mptcp=False)
    exchange(run, UPLOAD, b"")
    counters = run.server.stack.counters
    assert counters["IpReasmOKs"] >= len(UPLOAD) // 1448
    assert counters["IpReasmReqds"] - 2 * counters["IpReasmOKs"] > 3000


def test_a_link_cuts_what_may_be_cut() -> None:
    """The simulator's own links, with packets that do not fit them, once the sender lets them be cut."""
    run = make_scene(1, [impaired(mtu=600)], mtu=1500, mptcp=False)
    run.server.listen(Address(b"", PORT), Application)
    packet = bytearray(syn_to_server(4) + bytes(1000))
    packet[2:4] = len(packet).to_bytes(2, "big")
    packet[6] = 0
    (link, _) = run.paths[0]
    assert len(link.transfer(bytes(packet), 0)) == 2
    packet[6] = 0x40
    with pytest.raises(ValueError, match="packet of 1044 bytes on a link with MTU 600"):
        link.transfer(bytes(packet), 0)
    assert fragment(bytes(packet), 1044) == [bytes(packet)]


# --- extension headers


@pytest.mark.parametrize("kinds", [(DESTINATION,), (HOP_BY_HOP,), (FRAGMENT,), (ROUTING,), (HOP_BY_HOP, DESTINATION)])
def test_a_syn_behind_extension_headers(kinds: tuple[int, ...]) -> None:
    packet = syn_to_server(6)
    for kind in reversed(kinds):
        packet = with_extension(packet, kind, bytes(6) if kind in (FRAGMENT, ROUTING) else PADDING)
    assert answers(listening(6), packet) == [SYN | ACK]


def test_what_is_not_taken_is_counted_under_its_own_name() -> None:
    run = listening(6)
    other = bytearray(with_extension(syn_to_server(6), DESTINATION))
    other[40] = 17
    nested = parts(part(syn_to_server(6), 0, 16), 16, ident=2)
    given = {
        "Ip6InHdrErrors": [with_extension(syn_to_server(6), ROUTING, bytes((0, 1)) + bytes(20))],
        "Ip6InUnknownProtos": [bytes(other)],
        "Ip6ReasmFails": nested,
    }
    for name, packets in given.items():
        before = run.server.stack.counters[name]
        assert answers(run, *packets) == []
        assert run.server.stack.counters[name] == before + 1
    assert not run.server.stack.counters["TcpInErrs"]


# --- forged errors


def test_an_error_that_asks_for_next_to_nothing_costs_little() -> None:
    """RFC 5927 section 7: not less than 552 bytes a packet, whatever is said and how often; routers may cut them."""
    run = idle_scene()
    (connection,) = run.client.stack.connections
    for _ in range(20):
        connection.send(bytes(2000))
        run.client.settle()
        sent = next(record.packet for record in reversed(run.network.trace) if record.host == "client")
        error = too_big(ROUTER[4], sent, Random(len(run.network.trace)).choice((0, 1, 68, 296)))
        run.client.stack.receive([Packet([error])], run.network.clock.now_ns)
        run.network.run_for(SECOND)
        assert endpoint_of(run.client).sender.mss >= 552 - 52
    assert endpoint_of(run.client).sender.mss == 552 - 52
    run.network.run_for(601 * SECOND)
    assert endpoint_of(run.client).sender.mss == 1448
    connection.send(bytes(2000))
    run.client.settle()
    sent = next(record.packet for record in reversed(run.network.trace) if record.host == "client")
    assert sent[6] == 0x40


def test_errors_say_nothing_of_ipv6_below_its_least_mtu() -> None:
    run = make_scene(1, [PATH], mptcp=False, versions=(6,))
    client = Source(UPLOAD)
    run.server.listen(Address(b"", PORT), Application)
    run.client.connect(Address(server_ip(1, 6), PORT), client)
    run.network.run_for(60 * MILLISECOND)
    sent = next(record.packet for record in reversed(run.network.trace) if len(record.packet) > 1000)
    run.client.stack.receive([Packet([too_big(ROUTER[6], sent, 68)])], run.network.clock.now_ns)
    assert endpoint_of(run.client).sender.mss == 1280 - 72
