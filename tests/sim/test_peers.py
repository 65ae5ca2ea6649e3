"""Addresses that can be no peer's: nothing goes there and nothing is answered from there (RFC 9293 section 3.9.2.3)."""

import errno
from dataclasses import replace
from ipaddress import ip_address
from random import Random

import pytest

from mptcp_stack.events import Accepted, AddressAnnounced
from mptcp_stack.mptcp.keys import add_addr_hmac
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import SECOND
from mptcp_stack.stack import Address, Stack, StackConfig
from mptcp_stack.wire import ACK, RST, SYN, AddAddr, MpJoinSyn, Options, Packet, Segment, complete, decode, encode
from tests.icmp import icmp_error
from tests.sim.attacks.hostile import application_of, connected, forge, still_works, strike, victim_of
from tests.sim.scenes import PORT, Scene, client_ip, endpoint_of, idle_scene, server_ip

NOBODYS = (
    "0.0.0.0", "0.0.0.1", "127.0.0.1", "127.255.0.9", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
    "10.0.1.255", "10.0.2.255", "::", "::1", "ff02::1", "ff0e::9", "::ffff:10.0.1.101",
)  # fmt: skip
"""Nobody's on any network, or broadcast on the networks of the paths."""
OUR_OTHER = "10.0.2.102"


def packed(text: str) -> bytes:
    return ip_address(text).packed


def own(ip: str) -> bytes:
    """An address of the stack of the same family."""
    return server_ip(1, ip_address(ip).version)


def listening(**settings: bool) -> Stack:
    """A stack on two networks of each family that has somewhere to answer to everybody."""
    ips = (server_ip(1), server_ip(2), server_ip(1, 6), server_ip(2, 6))
    addresses = tuple(LocalAddress(ip, 24 if len(ip) == 4 else 64, True) for ip in ips)
    stack = Stack(StackConfig(addresses=addresses, **settings), Random(1))
    stack.listen(Address(b"", PORT), 0)
    return stack


def answers(stack: Stack, src: bytes, dst: bytes, sport: int = 9, flags: int = SYN, dport: int = PORT) -> list[Packet]:
    segment = Segment(src, dst, sport, dport, 100, 1 if flags & ACK else 0, flags, 1000, Options(mss=1000))
    stack.receive([Packet([complete(encode(segment))])], 0)
    assert not stack.flow_states()["SYN-RECEIVED"] or flags & SYN
    return stack.transmit(0)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("flags", [SYN, ACK, SYN | ACK])
@pytest.mark.parametrize("port", [PORT, PORT + 1])
def test_nothing_answers_who_is_nobody(flags: int, transparent: bool, port: int) -> None:
    stack = listening(transparent=transparent)
    for nobody in (*NOBODYS, OUR_OTHER):
        assert answers(stack, packed(nobody), own(nobody), flags=flags, dport=port) == [], f"from {nobody}"
    for nobody in NOBODYS:
        source = client_ip(1, ip_address(nobody).version)
        assert answers(stack, source, packed(nobody), flags=flags, dport=port) == [], f"to {nobody}"
    assert not stack.flow_states()
    families = [ip_address(nobody).version for nobody in (*NOBODYS, *NOBODYS, OUR_OTHER)]
    assert stack.counters["IpInAddrErrors"] == families.count(4)
    assert stack.counters["Ip6InAddrErrors"] == families.count(6)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("ip", ["10.0.1.102", "fd00:0:1::66"])
@pytest.mark.parametrize("port", [PORT, PORT + 1])
def test_land(ip: str, port: int, transparent: bool) -> None:
    """Source and destination are the same (CVE-1999-0016), ours or somebody's whose connections we answer."""
    stack = listening(transparent=transparent)
    for address in (packed(ip), client_ip(3, ip_address(ip).version)):
        assert answers(stack, address, address, port) == []
    assert not stack.flow_states()


def test_neighbours_of_what_is_nobodys_are_answered() -> None:
    stack = listening()
    for somebody in ("1.0.0.1", "126.0.0.1", "128.0.0.1", "223.0.0.1", "10.0.1.0", "10.0.1.254", "::2", "fe00::1"):
        assert answers(stack, packed(somebody), own(somebody)), somebody


@pytest.mark.parametrize(("prefix", "last"), [(24, 255), (30, 3), (25, 127), (31, None), (32, None)])
def test_broadcast_address_of_a_prefix(prefix: int, last: int | None) -> None:
    address = LocalAddress(bytes((10, 0, 1, 1)), prefix)
    assert address.broadcast == (b"" if last is None else bytes((10, 0, 1, last)))


@pytest.mark.parametrize("nobody", [*NOBODYS[:-1], "::ffff:224.0.0.1", "::ffff:10.0.1.255"])
def test_connecting_to_nobody_is_an_error(nobody: str) -> None:
    """As Linux says it, which has a loopback, however, and we have none."""
    stack = listening()
    with pytest.raises(OSError, match="unreachable") as caught:
        stack.connect(Address(packed(nobody), PORT), 0)
    assert caught.value.errno == errno.ENETUNREACH
    assert stack.transmit(0) == []


@pytest.mark.parametrize("to", ["10.0.1.102", OUR_OTHER, "fd00:1::66"])
def test_connecting_to_oneself(to: str) -> None:
    """By way of the device, where packets that only say to come from us are nobody's; no subflow joins by itself."""
    stack = listening()

    def loop() -> None:
        for _ in range(20):
            stack.receive(stack.transmit(0), 0)

    near = stack.connect(Address(packed(to), PORT), 0)
    forged = answers(stack, near.local.ip, packed(to), near.local.port ^ 1)
    assert [decode(packet).sport for packet in forged] == [near.local.port]
    stack.receive(forged, 0)
    loop()
    (far,) = [event.connection for event in iter(stack.next_event, None) if isinstance(event, Accepted)]
    assert near.is_mptcp
    near.send(b"question")
    loop()
    far.send(b"".join(far.receive()).upper())
    far.shutdown()
    loop()
    assert b"".join(near.receive()) == b"QUESTION"
    assert near.eof
    assert [len(one.subflows) for one in (near, far)] == [1, 1]
    refused = stack.connect(Address(packed(to), PORT + 1), 0)
    loop()
    assert refused.closing.closed


def test_mapped_addresses_are_those_of_ipv4() -> None:
    """RFC 4291 section 2.5.5.2: for applications, never on the wire."""
    stack = listening()
    connection = stack.connect(
        Address(packed("::ffff:10.0.1.101"), PORT), 0, local=Address(packed("::ffff:10.0.2.102"), 0)
    )
    assert (connection.remote.ip, connection.local.ip) == (packed("10.0.1.101"), packed("10.0.2.102"))
    assert decode(stack.transmit(0)[0]).dst == packed("10.0.1.101")
    assert stack.listen(Address(packed("::ffff:10.0.1.102"), 81), 0).local == Address(packed("10.0.1.102"), 81)


@pytest.mark.parametrize("reporter", ["224.0.0.1", "255.255.255.255", "10.0.1.255", "0.0.0.0", "127.0.0.1"])
def test_errors_that_no_host_sends_are_not_heard(reporter: str) -> None:
    run = idle_scene()
    endpoint = endpoint_of(run.client)
    endpoint.upper.connection.send(bytes(10))
    run.client.settle()
    said = run.segments("client")[-1][1]
    run.client.deliver(icmp_error(packed(reporter), said, 3, 4, 600))
    run.network.run_for(SECOND)
    assert run.client.stack.counters["IpInAddrErrors"] == 1
    assert run.client.stack.counters["IcmpInMsgs"] == 0


# --- announced


def announced(scene: Scene, address_id: int, ip: str, port: int | None = None) -> list[Segment]:
    """What the client says to a signed ADD_ADDR of the server."""
    server = victim_of(scene.server)
    raw = packed(ip)
    hmac = add_addr_hmac(server.local_key, server.remote_key, address_id, raw, port)
    option = AddAddr(address_id, raw, port, hmac)
    return strike(scene, scene.client, forge(victim_of(scene.client).subflows[0], b"", option))


def reaching_everything(**settings: int) -> Scene:
    scene = connected(1, **settings)
    addresses = tuple(replace(address, gateway=True) for address in scene.client.stack.addresses)
    other = LocalAddress(client_ip(1, 6), 64, True, address_id=9)
    scene.client.stack._own.present = (*addresses, other)
    return scene


@pytest.mark.parametrize("path_manager", ["default", "fullmesh"])
def test_nobody_who_is_announced_is_joined(path_manager: str) -> None:
    """They are echoed, and use up nothing: the good one after them is joined."""
    nobodies = [nobody for nobody in NOBODYS if nobody != "::ffff:10.0.1.101"] + ["10.0.1.101", "::ffff:127.0.0.1"]
    nobodies.remove("10.0.2.255")  # not on a network of the client's
    scene = reaching_everything(path_manager=path_manager, max_addresses_accepted=1)
    for number, nobody in enumerate(nobodies, 10):
        (echo,) = announced(scene, number, nobody)
        assert echo.options.mptcp == (AddAddr(number, packed(nobody), None, None, echo=True),)
    scene.network.run_for(SECOND)
    client = victim_of(scene.client)
    assert client.announcements.received == {}
    assert scene.client.stack.counters["MPTcpExtMPJoinSynTx"] == 0
    assert scene.client.stack.counters["MPTcpExtMPJoinSynTxConnectErr"] == len(nobodies)
    assert scene.client.stack.counters["MPTcpExtAddAddrDrop"] == 0
    announced(scene, 9, "10.0.7.7")
    assert scene.client.stack.counters["MPTcpExtMPJoinSynTx"] == 1
    assert client.announcements.received == {9: Address(packed("10.0.7.7"), PORT)}


def test_mapped_address_announced_is_joined_over_ipv4() -> None:
    """It is signed and echoed as it was sent."""
    scene = reaching_everything(timestamps=False)
    join, echo = announced(scene, 3, "::ffff:10.0.7.7", 8080)
    assert echo.options.mptcp == (AddAddr(3, packed("::ffff:10.0.7.7"), 8080, None, echo=True),)
    assert (join.dst, join.dport) == (packed("10.0.7.7"), 8080)
    assert isinstance(join.options.mptcp[0], MpJoinSyn)
    assert victim_of(scene.client).announcements.received == {3: Address(packed("10.0.7.7"), 8080)}
    announced(scene, 3, "::ffff:10.0.7.7", 8080)
    assert scene.client.stack.counters["MPTcpExtAddAddrDrop"] == 0


def test_application_hears_nothing_of_nobody_and_cannot_join_it() -> None:
    scene = reaching_everything(path_manager="userspace")
    told: list[object] = []
    scene.client.on_path_event = told.append
    announced(scene, 3, "224.0.0.1")
    assert not [event for event in told if isinstance(event, AddressAnnounced)]
    manager = victim_of(scene.client).path_manager
    for nobody in ("224.0.0.1", "10.0.1.255", "::ffff:127.0.0.1", "10.0.1.101"):
        with pytest.raises(OSError, match="unreachable") as caught:
            manager.open_subflow(client_ip(1), 3, Address(packed(nobody), PORT), 0)
        assert caught.value.errno == errno.ENETUNREACH


def test_join_from_nobody_is_not_answered() -> None:
    scene = connected(1)
    server = victim_of(scene.server)
    option = MpJoinSyn(False, 5, server.local_key.token, bytes(4))
    for nobody in ("224.0.0.1", "10.0.1.255", "10.0.1.102"):
        join = Segment(packed(nobody), server_ip(1), 5000, PORT, 1, 0, SYN, 1000, Options(mptcp=(option,)))
        assert strike(scene, scene.server, join) == []
    assert len(server.subflows) == 1
    still_works(scene)


def test_connections_survive_what_is_said_in_their_name() -> None:
    """A reset to a flow's port from a broadcast address is none of the flow's."""
    run = idle_scene()
    endpoint = endpoint_of(run.client)
    reset = Segment(packed("10.0.1.255"), client_ip(1), PORT, endpoint.local.port, 1, 0, RST)
    assert strike(run, run.client, reset) == []
    assert not application_of(run.client).closed
