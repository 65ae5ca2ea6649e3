"""TIME-WAIT: what remains of a connection after an active close (RFC 9293 section 3.4.2, 3.10.7.4).

A busy server has a hundred thousand of them. So each is a few bytes in the place of its endpoint, which the collector
of cycles does not look at, and all of a stack have one timer.
"""

from heapq import heappop, heappush
from struct import Struct
from typing import Any, ClassVar, Final

from typing_extensions import override

from mptcp_stack.storage import MASK_32, Timer, expand_32
from mptcp_stack.tcp.context import Context, timestamp
from mptcp_stack.tcp.endpoint import Endpoint
from mptcp_stack.wire import ACK, FIN, RST, SYN, Options, Segment

_TIMESTAMP_HALF: Final = 1 << 31
_PACKED: Final = Struct("!QQIIII?")

Packed = bytes
"""A ``TimeWait`` as it is kept."""


class TimeWait:
    """The numbers of one connection, as long as a segment of it is looked at.

    ``until_ns``: when it ends; ``looked_at_ns``: when somebody looks whether it has, as that may have been put off.
    """

    NAME: ClassVar = "TIME-WAIT"
    __slots__ = ("_ack", "_seq", "_timestamp_offset", "_timestamps", "_ts_recent", "looked_at_ns", "until_ns")

    def __init__(self, packed: Packed) -> None:
        self.until_ns: int
        self.looked_at_ns: int
        self._seq: int
        self._ack: int
        self._timestamp_offset: int
        self._ts_recent: int
        self._timestamps: bool
        (
            self.until_ns, self.looked_at_ns, self._seq, self._ack, self._timestamp_offset, self._ts_recent,
            self._timestamps,
        ) = _PACKED.unpack(packed)  # fmt: skip

    @staticmethod
    def of(endpoint: Endpoint, until_ns: int) -> Packed:
        """What to keep of an endpoint that is in TIME-WAIT."""
        receiver = endpoint.receiver
        ts_recent = receiver.ts_recent
        return _PACKED.pack(
            until_ns, until_ns, endpoint.sender.scoreboard.next & MASK_32, receiver.next & MASK_32,
            endpoint.timestamp_offset, ts_recent or 0, ts_recent is not None,
        )  # fmt: skip

    def prolonged(self, until_ns: int, looked_at_ns: int) -> Packed:
        """The same, as it is kept, with another end."""
        return _PACKED.pack(
            until_ns, looked_at_ns, self._seq, self._ack, self._timestamp_offset, self._ts_recent, self._timestamps
        )

    def is_fin(self, segment: Segment) -> bool:
        """Whether it is the peer's FIN again, and not one that somebody made up to keep us waiting."""
        following = segment.seq + segment.length + 1
        return bool(segment.flags & FIN) and (following - self._ack) & MASK_32 == 0

    def is_newer(self, syn: Segment) -> bool:
        """RFC 6191 section 2: by timestamps if both connections have them, by sequence number otherwise."""
        newer_seq = expand_32(syn.seq, self._ack) > self._ack
        ts_val = syn.options.ts_val
        if ts_val is None:
            return newer_seq
        if not self._timestamps:
            return True
        progress = (ts_val - self._ts_recent) & MASK_32
        return 0 < progress < _TIMESTAMP_HALF or (progress == 0 and newer_seq)

    def answer(self, segment: Segment, now: int) -> Segment:
        """An acknowledgement."""
        options = Options()
        if self._timestamps:
            options.ts_val, options.ts_ecr = timestamp(self._timestamp_offset, now), self._ts_recent
        return Segment.answering(segment, seq=self._seq, ack=self._ack, flags=ACK, options=options)


class TimeWaits(Timer):
    """All of a stack. ``flows`` has them, and what else there is by flow; as a timer: when the first of them ends."""

    __slots__ = ("_context", "_ends", "_flows")

    def __init__(self, context: Context, flows: dict[bytes, Any]) -> None:
        super().__init__(context.timers)
        self._context = context
        self._flows = flows
        self._ends: list[tuple[int, bytes]] = []
        """A heap of (when to look at it, flow): each ends then, or has another time by now, or has gone."""

    def add(self, endpoint: Endpoint, now: int) -> None:
        """An endpoint is in TIME-WAIT from now on: twice the maximum segment lifetime (``TcpConfig.time_wait_ns``)."""
        flow, until_ns = endpoint.flow, now + self._context.config.time_wait_ns
        self._flows[flow] = TimeWait.of(endpoint, until_ns)
        heappush(self._ends, (until_ns, flow))
        self.set_earlier(until_ns)

    def receive(self, packed: Packed, segment: Segment, now: int) -> bool:
        """Answer a late segment. True: it is a SYN that may open the connection anew, and there is none any more."""
        flags = segment.flags
        if flags & RST:
            return False  # RFC 1337: it must not cut the wait short
        wait = TimeWait(packed)
        if flags & (SYN | ACK) == SYN and wait.is_newer(segment):
            del self._flows[segment.flow]
            return True
        if wait.is_fin(segment):
            self._flows[segment.flow] = wait.prolonged(now + self._context.config.time_wait_ns, wait.looked_at_ns)
        if not segment.length and not flags & (SYN | FIN):
            return False  # answering a mere acknowledgement could go on for ever between two of us
        self._context.egress.append(wait.answer(segment, now))
        return False

    @override
    def expire(self, now: int) -> None:
        ends, flows = self._ends, self._flows
        while ends and ends[0][0] <= now:
            time_ns, flow = heappop(ends)
            packed = flows.get(flow)
            if type(packed) is bytes:
                wait = TimeWait(packed)
                if wait.looked_at_ns != time_ns:
                    continue  # of one before it
                until_ns = wait.until_ns
                if until_ns > now:
                    flows[flow] = wait.prolonged(until_ns, until_ns)
                    heappush(ends, (until_ns, flow))
                else:
                    del flows[flow]
        if ends:
            self.set(ends[0][0])
