"""Middleboxes of the simulator that end flows, or forget them."""

from collections.abc import Callable
from dataclasses import replace

from mptcp_stack.sim import Host
from mptcp_stack.wire import ACK, FIN, RST, SYN, MptcpOption, Options, Packet, Segment, complete, decode, encode
from tests.sim.scenes import Scene

Injected = Callable[[Segment], "MptcpOption | None"]


class Resetter:
    """Resets each flow exactly, once, after so many bytes of payload; ``to`` says which end hears of it.

    ``options``: of MPTCP on the resets. ``scene`` is to be set before the first packet. As `rst-injection` of the
    testbed, in virtual time; the packet that brings the flow over the limit passes.
    """

    scene: Scene

    def __init__(self, after_bytes: int, to: str = "both", options: tuple[MptcpOption, ...] = (), limit: int = 1 << 30):
        self.after_bytes, self.to, self.options, self.limit = after_bytes, to, options, limit
        self.left: dict[frozenset[tuple[bytes, int]], int] = {}
        self.injected = 0

    def __call__(self, packet: bytes) -> list[bytes]:
        segment = decode(Packet([packet]))
        flow = frozenset([(segment.src, segment.sport), (segment.dst, segment.dport)])
        left = self.left.setdefault(flow, self.after_bytes)
        if segment.flags & SYN or left < 0 or self.injected >= self.limit or not (segment.length or left == 0):
            return [packet]
        self.left[flow] = left - segment.length
        if self.left[flow] > 0:
            return [packet]
        self.left[flow] = -1
        self.injected += 1
        onward = replace(segment, seq=(segment.seq + segment.length) % 2**32, ack=0, flags=RST, payload=[], length=0)
        answer = Segment(segment.dst, segment.src, segment.dport, segment.sport, segment.ack, 0, RST)
        out = [packet]
        if self._is_for(segment.dst):
            out.append(self._reset(onward))
        if self._is_for(segment.src):
            self._host(segment.src).deliver(self._reset(answer))
        return out

    def _reset(self, segment: Segment) -> bytes:
        segment.options = Options(mptcp=self.options)
        return bytes(complete(encode(segment)))

    def _is_for(self, ip: bytes) -> bool:
        return self.to in ("both", self._host(ip).name)

    def _host(self, ip: bytes) -> Host:
        return self.scene.network._owners[ip]


class Nat:
    """Other ports outside; who is idle for `timeout_ns` is forgotten, and what comes from outside for nobody dropped.

    ``scene`` is to be set before the first packet; `inside` is the first three bytes and the last of an address.
    """

    scene: Scene

    def __init__(self, inside: bytes, timeout_ns: int):
        self.inside, self.timeout_ns = inside, timeout_ns
        self.ports: dict[int, tuple[int, int]] = {}
        self.forgotten = 0
        self._next_port = 20_000

    def __call__(self, packet: bytes) -> list[bytes]:
        segment = decode(Packet([packet]))
        now = self.scene.network.clock.now_ns
        self.ports = {port: (one, used) for port, (one, used) in self.ports.items() if now - used <= self.timeout_ns}
        if segment.src == self.inside:
            outside = next((port for port, (one, _) in self.ports.items() if one == segment.sport), None)
            if outside is None:
                outside = self._next_port = self._next_port + 1
            self.ports[outside] = segment.sport, now
            segment.sport = outside
        elif segment.dport in self.ports:
            inside, _ = self.ports[segment.dport]
            self.ports[segment.dport] = inside, now
            segment.dport = inside
        else:
            self.forgotten += 1
            return []
        return [bytes(complete(encode(segment)))]


def refusing(scene: Callable[[], Scene], ip: bytes, begin_ns: int, end_ns: int) -> Callable[[bytes], list[bytes]]:
    """A router that rebooted: from `begin_ns` to `end_ns` it answers all that comes from `ip` with a reset."""

    def middlebox(packet: bytes) -> list[bytes]:
        segment = decode(Packet([packet]))
        if not begin_ns <= scene().network.clock.now_ns < end_ns:
            return [packet]
        if segment.src == ip and not segment.flags & RST:
            span = segment.length + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            flags, seq, ack = RST, segment.ack, 0
            if not segment.flags & ACK:
                flags, seq, ack = RST | ACK, 0, (segment.seq + span) % 2**32
            answer = Segment(segment.dst, segment.src, segment.dport, segment.sport, seq, ack, flags)
            scene().network._owners[ip].deliver(bytes(complete(encode(answer))))
        return []

    return middlebox
