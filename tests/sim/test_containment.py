"""What cannot be sent, and what raises, costs itself and its connection alone."""

import errno

import pytest

from mptcp_stack.mptcp.scheduler.lowest_rtt import LowestRtt
from mptcp_stack.sim import SECOND, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, AddAddr, Options, Segment

from .scenes import PORT, SERVER, client_ip, make_scene, server_ip


def begin(scene, size=100_000):
    sinks = []

    def accept():
        sinks.append(Sink())
        return sinks[-1]

    scene.server.listen(Address(b"", PORT), accept)
    source = Source(pattern(size))
    scene.client.connect(SERVER, source)
    return source, sinks


NEAR, FAR = client_ip(1), SERVER.ip
TOO_LONG = AddAddr(1, bytes(16), 1, bytes(8))
CANNOT_BE_MADE = pytest.mark.pure("a compiled field takes its type alone")


@pytest.mark.parametrize(
    "made",
    [
        lambda: Segment(NEAR, FAR, 70000, PORT, flags=ACK),
        lambda: Segment(NEAR, FAR, 1, PORT, flags=ACK, seq=-1),
        lambda: Segment(NEAR, FAR, 1, PORT, flags=ACK, window=1 << 16),
        lambda: Segment(NEAR, FAR, 1, PORT, flags=ACK, options=Options(mptcp=(AddAddr(300, NEAR),))),
        lambda: Segment(NEAR, FAR, 1, PORT, flags=ACK, options=Options(mptcp=(AddAddr(1, NEAR, 70000),))),
        lambda: Segment(NEAR, FAR, 1, PORT, flags=ACK, options=Options(mptcp=(TOO_LONG, TOO_LONG))),
        lambda: Segment(NEAR, FAR, 1, PORT, flags=ACK, payload=[memoryview(bytes(70000))], length=70000, gso_size=1000),
        pytest.param(lambda: Segment(NEAR, None, 1, PORT, flags=ACK), marks=CANNOT_BE_MADE),
        pytest.param(lambda: Segment(NEAR, FAR, "http", PORT, flags=ACK), marks=CANNOT_BE_MADE),
        lambda: Segment(NEAR, bytes(16), 1, PORT, flags=ACK),
        lambda: Segment(bytes(16), FAR, 1, PORT, flags=ACK),
    ],
    ids=[
        "port", "sequence number", "window", "address ID", "port of an option", "options", "length", "no address",
        "no number", "IPv4 to IPv6", "IPv6 to IPv4",
    ],
)  # fmt: skip
def test_a_segment_that_cannot_be_encoded_is_dropped(made):
    scene = make_scene(1)
    _, sinks = begin(scene)
    stack = scene.client.stack
    for count in range(1, 4):
        scene.network.run_for(SECOND // 50)
        stack.context.egress.append(made())
        stack.connections[0].wake()
        scene.client.settle()
        assert stack.counters["TcpOutErrs"] == count
        assert stack.context.egress == []
    scene.network.run_for(5 * SECOND)
    assert bytes(sinks[0].received) == pattern(100_000)
    assert stack.counters["TcpOutErrs"] == 3
    del stack.counters["TcpOutErrs"]


@pytest.mark.parametrize(("near", "far"), [(4, 6), (6, 4)])
def test_no_flow_has_ends_of_two_families(near, far):
    scene = make_scene(1, versions=(4, 6))
    begin(scene)
    scene.network.run_for(SECOND // 10)
    stack = scene.client.stack
    ours, theirs = client_ip(2 if near == 6 else 1, near), server_ip(2 if far == 6 else 1, far)
    with pytest.raises(OSError, match="family") as caught:
        stack.connect(Address(theirs, PORT), scene.network.clock.now_ns, Address(ours, 0))
    assert caught.value.errno == errno.EAFNOSUPPORT
    (connection,) = stack.connections
    address = next(one for one in stack.addresses if one.ip == ours)
    before = len(scene.network.trace)
    assert connection.open_subflow(address, 7, Address(theirs, PORT), scene.network.clock.now_ns) is None
    assert stack.counters["MPTcpExtMPJoinSynTxBindErr"] == 1
    assert len(scene.network.trace) == before


class Raises(LowestRtt):
    def select(self, subflows, burst_bytes):
        raise ZeroDivisionError


def test_without_a_handler_a_plug_in_s_exception_is_raised():
    """As the simulator wants it: nothing is hidden from who tries a plug-in."""
    scene = make_scene(1, client={"scheduler": f"{__name__}:Raises"})
    begin(scene)
    with pytest.raises(ZeroDivisionError):
        scene.network.run_for(SECOND)


def test_with_a_handler_it_ends_the_connection_and_the_peer_s():
    scene = make_scene(1, client={"scheduler": f"{__name__}:Raises"})
    told = []
    scene.client.stack.on_exception = lambda *what: told.append(what)
    source, _ = begin(scene)
    scene.network.run_for(SECOND)
    ((connection, problem),) = told
    assert connection is source.connection
    assert source.error.__cause__ is problem
    assert isinstance(source.error, ConnectionAbortedError)
    assert scene.client.stack.connections == scene.server.stack.connections == ()
