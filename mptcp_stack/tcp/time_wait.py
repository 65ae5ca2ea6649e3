"""TIME-WAIT: what remains of a connection after an active close (RFC 9293 section 3.4.2, 3.10.7.4)."""

from typing import ClassVar, Final

from mptcp_stack.storage import MASK_32, Timer, expand_32
from mptcp_stack.tcp.context import Context, timestamp
from mptcp_stack.tcp.endpoint import Endpoint
from mptcp_stack.wire import ACK, FIN, RST, SYN, Options, Segment

_TIMESTAMP_HALF: Final = 1 << 31


class TimeWait:
    """A few numbers in place of an endpoint, until twice the maximum segment lifetime is over: then ``timer`` fires."""

    NAME: ClassVar = "TIME-WAIT"
    __slots__ = ("_ack", "_context", "_seq", "_timestamp_offset", "_ts_recent", "timer")

    def __init__(self, context: Context, endpoint: Endpoint, timer: Timer, now: int) -> None:
        self._context = context
        self._seq = endpoint.sender.scoreboard.next
        self._ack = endpoint.receiver.next
        self._ts_recent = endpoint.receiver.ts_recent
        self._timestamp_offset = endpoint.timestamp_offset
        self.timer = timer
        self._restart(now)

    def receive(self, segment: Segment, now: int) -> bool:
        """Answer a late segment. True: it is a SYN that may open the connection anew."""
        flags = segment.flags
        if flags & RST:
            return False  # RFC 1337: it must not cut the wait short
        if flags & (SYN | ACK) == SYN and self._is_newer(segment):
            return True
        if flags & FIN and (segment.seq + segment.length + 1 - self._ack) & MASK_32 == 0:
            self._restart(now)  # the peer's FIN, not one that somebody made up to keep us waiting
        if not segment.length and not flags & (SYN | FIN):
            return False  # answering a mere acknowledgement could go on for ever between two of us
        self._acknowledge(segment, now)
        return False

    def _is_newer(self, syn: Segment) -> bool:
        """RFC 6191 section 2: by timestamps if both connections have them, by sequence number otherwise."""
        newer_seq = expand_32(syn.seq, self._ack) > self._ack
        ts_val, ts_recent = syn.options.ts_val, self._ts_recent
        if ts_val is None:
            return newer_seq
        if ts_recent is None:
            return True
        progress = (ts_val - ts_recent) & MASK_32
        return 0 < progress < _TIMESTAMP_HALF or (progress == 0 and newer_seq)

    def _acknowledge(self, segment: Segment, now: int) -> None:
        options = Options()
        if self._ts_recent is not None:
            options.ts_val, options.ts_ecr = timestamp(self._timestamp_offset, now), self._ts_recent
        seq, ack = self._seq & MASK_32, self._ack & MASK_32
        answer = Segment.answering(segment, seq=seq, ack=ack, flags=ACK, options=options)
        self._context.egress.append(answer)

    def _restart(self, now: int) -> None:
        self.timer.set(now + self._context.config.time_wait_ns)
