"""TIME-WAIT: what remains of a connection after an active close (RFC 9293 section 3.4.2, 3.10.7.4)."""

from mptcp_stack.storage import MASK_32, Timer, expand_32
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.endpoint import Endpoint
from mptcp_stack.wire import ACK, FIN, RST, SYN, Options, Segment


class TimeWait:
    """A few numbers in place of an endpoint, until twice the maximum segment lifetime is over."""

    __slots__ = ("_ack", "_context", "seq", "timer", "ts_recent")

    def __init__(self, context: Context, endpoint: Endpoint, timer: Timer) -> None:
        self._context = context
        self.seq = endpoint.sender.scoreboard.next
        self._ack = endpoint.receiver.next
        self.ts_recent = endpoint.receiver.ts_recent
        self.timer = timer

    def receive(self, segment: Segment) -> bool:
        """Answer a late segment. True: it is a SYN that may open the connection anew (RFC 6191)."""
        if segment.flags & RST:
            return False
        newer_seq = expand_32(segment.seq, self._ack) > self._ack
        ts_val = segment.options.ts_val
        newer_time = (
            ts_val is not None and self.ts_recent is not None and 0 < (ts_val - self.ts_recent) & MASK_32 < 1 << 31
        )
        if segment.flags & SYN and not segment.flags & ACK and (newer_seq or newer_time):
            return True
        if not segment.length and not segment.flags & (SYN | FIN):
            return False  # answering a mere acknowledgement could go on for ever between two of us
        self._context.egress.append(
            Segment(
                segment.dst,
                segment.src,
                segment.dport,
                segment.sport,
                self.seq & MASK_32,
                self._ack & MASK_32,
                ACK,
                0,
                Options(),
            )
        )
        return False
