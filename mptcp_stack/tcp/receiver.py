"""The receiving half of a TCP endpoint: order, and when and how to acknowledge."""

from mptcp_stack.storage import Chunks, Reassembly
from mptcp_stack.storage.timers import Timer
from mptcp_stack.tcp.config import TcpConfig

_DEFAULT_MSS = 536
_QUICK_ACKS = 16
"""The first acknowledgements are not delayed, so that the peer's slow start is not either (as Linux does)."""


class Receiver:
    """State of RFC 9293's RCV variables. Sequence numbers are unwrapped."""

    __slots__ = (
        "_config", "_delayed", "_mss", "_pending_bytes", "_quick", "ack_now", "fin", "irs", "last_ack_sent",
        "reassembly", "ts_recent",
    )  # fmt: skip

    def __init__(self, irs: int, config: TcpConfig, delayed: Timer) -> None:
        self.irs = irs
        self.reassembly = Reassembly(irs + 1)
        self.fin: int | None = None
        self.ts_recent: int | None = None
        self.last_ack_sent = irs
        self.ack_now = False
        self._config = config
        self._delayed = delayed
        self._mss = _DEFAULT_MSS
        self._pending_bytes = 0
        self._quick = _QUICK_ACKS

    @property
    def next(self) -> int:
        """RCV.NXT."""
        return self.reassembly.next

    def accept(self, seq: int, chunks: Chunks, length: int, segment_bytes: int, now: int) -> Chunks:
        """Payload at ``seq``; returns what is in order now. ``segment_bytes``: payload of one wire packet of it."""
        reassembly = self.reassembly
        before = reassembly.next
        ordered = reassembly.insert(seq, chunks, length)
        if segment_bytes > self._mss:
            self._mss = segment_bytes
        if seq != before or reassembly.held_bytes or self._quick:
            # RFC 5681 section 4.2: at once for a duplicate, a gap, and a segment that fills one.
            self._quick -= self._quick > 0
            self.ack_now = True
        else:
            self._pending_bytes += length
            if self._pending_bytes >= 2 * self._mss:
                self.ack_now = True
            else:
                self._delayed.set_earlier(now + self._config.delayed_ack_ns)
        return ordered

    def take_fin(self) -> bool:
        """Whether everything up to the FIN has arrived; steps over it, once."""
        if self.fin is None or self.reassembly.next != self.fin:
            return False
        self.reassembly.next += 1
        self.fin = None
        return True

    def sack_blocks(self) -> tuple[tuple[int, int], ...]:
        """What is held beyond the gap: the range that changed last first (RFC 2018 section 4)."""
        ranges = self.reassembly.ranges
        if not len(ranges):
            return ()
        latest = ranges.range_at(self.reassembly.latest)
        others = [block for block in ranges if block != latest]
        return tuple(([latest] if latest else []) + others[-3:])

    def acknowledged(self) -> None:
        """A segment with the current acknowledgement number is on its way."""
        self.ack_now = False
        self._pending_bytes = 0
        self.last_ack_sent = self.reassembly.next
        self._delayed.cancel()
