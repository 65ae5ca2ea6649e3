"""Coupled congestion controls: known values, one bottleneck shared with TCP, and traffic that leaves a crowded path."""

import pytest

from mptcp_stack.congestion import ALGORITHMS, Balia, CongestionControl, Lia, Olia
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import MILLISECOND, SECOND, Host, LinkSpec, Network, Sink, Source, pattern
from mptcp_stack.stack import StackConfig
from mptcp_stack.tcp import Address
from tests.sim.scenes import DOWNLOAD, PORT, UPLOAD, client_ip, exchange, impaired, make_scene, server_ip

MSS = 1000
BOTTLENECK = LinkSpec(rate_bps=10_000_000, delay_ns=10 * MILLISECOND, queue_bytes=40_000)
NARROW = LinkSpec(rate_bps=5_000_000, delay_ns=10 * MILLISECOND, queue_bytes=20_000)
PAYLOAD = pattern(30_000_000)


def pair(name: str, first: tuple[int, int], second: tuple[int, int]) -> list[CongestionControl]:
    """Two controls of one connection, each with (window in segments, RTT in ms), in congestion avoidance."""
    group: list[CongestionControl] = []
    for segments, rtt_ms in (first, second):
        control = ALGORITHMS[name](MSS, group)
        control.cwnd = segments * MSS
        control.ssthresh = 2 * MSS
        control.srtt_ns = control.rtt_ns = rtt_ms * MILLISECOND
        control.active = True
        group.append(control)
    return group


def test_lia_alpha_by_hand() -> None:
    """RFC 6356 section 3, equation 2: 30 x max(10/100^2, 20/50^2) / (10/100 + 20/50)^2 = 0.96."""
    slow, fast = pair("lia", (10, 100), (20, 50))
    assert isinstance(slow, Lia)
    assert slow.alpha() == pytest.approx(0.96)
    assert fast.increase(MSS, 0) == pytest.approx(0.96 * MSS / 30)
    equal = pair("lia", (10, 50), (10, 50))[0]
    assert isinstance(equal, Lia)
    assert equal.alpha() == pytest.approx(0.5), "together as one TCP"


def test_lia_is_never_faster_than_reno_on_its_path() -> None:
    small, _ = pair("lia", (2, 100), (50, 10))
    assert small.increase(MSS, 0) <= MSS / 2
    large, _ = pair("lia", (100, 10), (1, 400))
    assert large.increase(MSS, 0) <= MSS / 100


def test_balia_by_hand() -> None:
    """Rates 0.1 and 0.4 segments a ms: alpha 4 on the slower, which also gives up 3/4 of its window at a loss."""
    slow, fast = pair("balia", (10, 100), (20, 50))
    assert isinstance(slow, Balia)
    assert slow.alpha() == pytest.approx(4)
    assert slow.gain() * MSS == pytest.approx(0.1 / 100 / 0.25 * 2.5 * 1.6)
    assert slow.decrease(0) == pytest.approx(10 * MSS * 0.25)
    assert fast.decrease(0) == pytest.approx(20 * MSS / 2)


def test_olia_moves_window_to_the_better_path() -> None:
    """The second path has the smaller window although its losses are farther apart: +1/2 and -1/2."""
    large, better = pair("olia", (20, 50), (5, 50))
    large._since_loss_bytes, better._since_loss_bytes = 10 * MSS, 100 * MSS  # type: ignore[attr-defined]
    assert isinstance(large, Olia)
    assert isinstance(better, Olia)
    assert (large.alpha(), better.alpha()) == (-0.5, 0.5)
    better.cwnd = 20 * MSS
    assert (large.alpha(), better.alpha()) == (0, 0), "both are largest now"


@pytest.mark.parametrize("name", ["lia", "olia", "balia"])
def test_alone_it_is_reno(name: str) -> None:
    control, other = pair(name, (10, 50), (20, 100))
    other.active = False
    assert control.increase(MSS, 0) == pytest.approx(MSS / 10), "an unused or dead subflow does not count"
    other.active = True
    control.round_trip += 1
    assert control.increase(MSS, 0) < MSS / 10


@pytest.mark.parametrize("congestion", ALGORITHMS)
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_everything_arrives(congestion: str, loss: float) -> None:
    exchange(make_scene(1, [impaired(loss=loss)] * 2, congestion=congestion), UPLOAD, DOWNLOAD)


class Meeting:
    """A connection with a subflow over each of two bottlenecks, or two over one, and others beside it."""

    def __init__(self, congestion: str, bottlenecks: list[LinkSpec]) -> None:
        self.network = Network(1)
        self._middle = [(self.network.add_link(spec), self.network.add_link(spec)) for spec in bottlenecks]
        self._access = LinkSpec(delay_ns=MILLISECOND)
        self._sinks: list[list[Sink]] = []
        client = self._host("client", [client_ip(1), client_ip(2)], congestion)
        server = self._host("server", [server_ip(1), server_ip(2)][: len(bottlenecks)], congestion)
        self._join(client_ip(1), server_ip(1), 0)
        if len(bottlenecks) == 2:
            self._join(client_ip(2), server_ip(2), 1)
        else:
            self._join(client_ip(2), server_ip(1), 0)
        self.start(client, server, server_ip(1), mptcp=True)

    def _host(self, name: str, ips: list[bytes], congestion: str) -> Host:
        addresses = tuple(LocalAddress(ip, 24, gateway=True) for ip in ips)
        return self.network.add_host(name, StackConfig(addresses=addresses, congestion=congestion))

    def _join(self, here: bytes, there: bytes, bottleneck: int) -> None:
        for source, destination, middle in ((here, there, 0), (there, here, 1)):
            first, last = self.network.add_link(self._access), self.network.add_link(self._access)
            self.network.add_route(source, destination, [first, self._middle[bottleneck][middle], last])

    def add_tcp(self, number: int, bottleneck: int, congestion: str = "reno") -> None:
        here, there = bytes((10, 9, number, 1)), bytes((10, 9, number, 2))
        client = self._host(f"client {number}", [here], congestion)
        server = self._host(f"server {number}", [there], congestion)
        self._join(here, there, bottleneck)
        self.start(client, server, there, mptcp=False)

    def start(self, client: Host, server: Host, to: bytes, mptcp: bool) -> None:
        sinks: list[Sink] = []

        def accept() -> Sink:
            sinks.append(Sink())
            return sinks[-1]

        self._sinks.append(sinks)
        server.listen(Address(b"", PORT), accept)
        client.connect(Address(to, PORT), Source(PAYLOAD), mptcp=mptcp)

    def received(self) -> list[int]:
        """Bytes that each connection has brought, the one with two subflows first."""
        return [sum(len(sink.received) for sink in sinks) for sinks in self._sinks]

    def shares(self, seconds: int) -> list[int]:
        """What each brings in so many seconds, after three of beginning."""
        self.network.run_for(3 * SECOND)
        before = self.received()
        self.network.run_for(seconds * SECOND)
        return [now - then for now, then in zip(self.received(), before, strict=True)]


def jain(shares: list[int]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@pytest.mark.parametrize(("congestion", "index"), [("lia", 0.95), ("olia", 0.9), ("balia", 0.95), ("reno", None)])
def test_two_subflows_beside_one_tcp(congestion: str, index: float | None) -> None:
    """Coupled they take what one TCP takes; uncoupled twice that."""
    meeting = Meeting(congestion, [NARROW])
    meeting.add_tcp(1, 0)
    shares = meeting.shares(24)
    assert sum(shares) * 8 > 0.9 * 24 * NARROW.rate_bps
    if index is None:
        assert 1.5 < shares[0] / shares[1] < 2.6
    else:
        assert jain(shares) >= index


def part_on_crowded_path(congestion: str, seconds: int) -> float:
    """Of what a connection receives in that time over two equal paths, with three TCPs on one of them."""
    meeting = Meeting(congestion, [BOTTLENECK, BOTTLENECK])
    for number in range(3):
        meeting.add_tcp(number, 0)
    meeting.network.run_for(3 * SECOND)
    (sink,) = meeting._sinks[0]
    before = [subflow.bytes_received for subflow in sink.connection.subflows]
    meeting.network.run_for(seconds * SECOND)
    got = [subflow.bytes_received - then for subflow, then in zip(sink.connection.subflows, before, strict=True)]
    crowded = next(i for i, subflow in enumerate(sink.connection.subflows) if subflow.local.ip == server_ip(1))
    return got[crowded] / sum(got)


@pytest.mark.parametrize(
    ("congestion", "at_most"), [("reno", 1.0), ("lia", 0.2), ("olia", 0.12), ("balia", 0.15), ("wvegas", 0.17)]
)
def test_traffic_leaves_a_crowded_path(congestion: str, at_most: float) -> None:
    part = part_on_crowded_path(congestion, 16 if congestion == "reno" else 8)
    assert part <= at_most
    if congestion == "reno":
        assert part > 0.18, "a fourth of one path beside all of the other"
