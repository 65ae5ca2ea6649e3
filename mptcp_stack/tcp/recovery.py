"""Finding out what is lost (RFC 8985 RACK with SACK, RFC 6582 NewReno without) and how fast to repair it (RFC 6937).

RFC 9937 has replaced RFC 6937 since; sections are those of the older one.
"""

from enum import Enum, auto
from typing import Final

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.storage import NEVER
from mptcp_stack.tcp.rtt import RttEstimator
from mptcp_stack.tcp.scoreboard import Delivery, Record, Scoreboard
from mptcp_stack.tcp.undo import Undo
from mptcp_stack.wire import SYN

DUPLICATE_THRESHOLD: Final = 3
"""RFC 5681 section 3.2; RFC 6675 calls it DupThresh."""
_LIMITED_TRANSMIT_SEGMENTS: Final = 2
"""So many duplicates send one new segment each (RFC 3042 section 2); with SACK, what is selected makes room for it."""
_PATIENT_RECOVERIES: Final = 16
"""For so many recoveries a reordering window stays that was too short once (RFC 8985 section 6.2.1)."""
_FASTER: Final = 8
"""Chosen: a FIN is shorter than what the least RTT was measured with, and so faster, by less than so small a part."""


class Phase(Enum):
    """OPEN: nothing known to be lost. RECOVERY: repairing within the window. LOSS: after a timeout."""

    OPEN = auto()
    RECOVERY = auto()
    LOSS = auto()


class Recovery:
    """Loss detection and proportional rate reduction for one sender.

    ``probe``: the sequence numbers of a tail loss probe nobody has judged yet; none but the end if it was new data.
    """

    __slots__ = (
        "_control", "_duplicates", "_flight_at_start", "_highest_sacked", "_patience", "_patient_recoveries",
        "_patient_until", "_presumed", "_prr_delivered", "_prr_sent", "_rack_end", "_rack_rtt_ns", "_rack_sent_ns",
        "_reordering_seen", "_rtt", "_scoreboard", "_undo", "_window", "phase", "point", "probe", "uses_sack",
    )  # fmt: skip

    def __init__(self, scoreboard: Scoreboard, rtt: RttEstimator, control: CongestionControl) -> None:
        self._scoreboard = scoreboard
        self._rtt = rtt
        self._control = control
        self.uses_sack = False
        self.phase = Phase.OPEN
        self.point = scoreboard.next
        self._duplicates = 0
        self._presumed = 0
        self._reordering_seen = False
        self._highest_sacked = 0
        self._rack_sent_ns = -1
        self._rack_end = 0
        self._rack_rtt_ns = 0
        self._prr_delivered = 0
        self._prr_sent = 0
        self._flight_at_start = 1
        self._window = 0
        self._patience = 1
        self._patient_recoveries = 0
        self._patient_until = scoreboard.una
        self._undo = Undo(control)
        self.probe: tuple[int, int] | None = None

    @property
    def window(self) -> int:
        """How many bytes may be in flight now."""
        if self.phase is Phase.RECOVERY:
            return self._window
        window = int(self._control.cwnd)
        if self._duplicates and self.phase is Phase.OPEN:
            window += min(self._duplicates, _LIMITED_TRANSMIT_SEGMENTS) * self._control.mss
        return window

    def on_delivered(self, delivered: list[Record], now: int) -> None:
        """Records arrived at the peer: the newest of them is what RACK measures the others against.

        Whatever the order in which one acknowledgement reports them: when others were lost on the way, it is no order.
        """
        highest_sacked = self._highest_sacked
        for record in delivered:
            if record.transmissions > 1:
                # It may be the first copy that was acknowledged: an answer faster than any RTT says so.
                if now - record.sent_ns < self._rtt.minimum_ns - self._rtt.minimum_ns // _FASTER:
                    continue
            elif record.end < highest_sacked:
                self._reordering_seen = True
            if (record.sent_ns, record.end) > (self._rack_sent_ns, self._rack_end):
                self._rack_sent_ns = record.sent_ns
                self._rack_end = record.end
                self._rack_rtt_ns = now - record.sent_ns
            self._highest_sacked = max(self._highest_sacked, record.end)

    def detect(self, now: int) -> int:
        """Mark what RACK takes for lost (RFC 8985 section 6.2); returns when to look again (ns), maybe ``NEVER``.

        Beyond a record that was sent once, and later than the newest that arrived, all was sent later.
        """
        scoreboard = self._scoreboard
        window_ns = self._reordering_window_ns()
        look_again = NEVER
        newest = (self._rack_sent_ns, self._rack_end)
        for record in scoreboard:
            later = (record.sent_ns, record.end) >= newest
            if later and record.transmissions == 1:
                break
            if later or record.delivery is not Delivery.IN_FLIGHT:
                continue
            deadline = record.sent_ns + self._rack_rtt_ns + window_ns
            if deadline <= now:
                scoreboard.mark_lost(record)
            else:
                look_again = min(look_again, deadline)
        return look_again

    def _reordering_window_ns(self) -> int:
        """RFC 8985 section 6.2.1 step 4: no patience once enough is missing and nothing was ever reordered."""
        enough = self._scoreboard.sacked.total >= DUPLICATE_THRESHOLD * self._control.mss
        if not self._reordering_seen and (enough or self.phase is not Phase.OPEN):
            return 0
        return min(self._patience * self._rtt.minimum_ns // 4, self._rtt.srtt_ns)

    def on_duplicate_report(self, start: int, end: int) -> bool:
        """The receiver got something twice (RFC 2883); whether it can have been ours: patience grows once a round trip.

        RFC 8985 section 6.2.1 steps 1 and 2.
        """
        if not self._undo.believes(start, end):
            return False
        if self._scoreboard.una >= self._patient_until:
            self._patient_until = self._scoreboard.next
            self._patience += 1
            self._patient_recoveries = _PATIENT_RECOVERIES
        return True

    def _end(self) -> None:
        self.phase = Phase.OPEN
        self._patient_recoveries -= 1
        if self._patient_recoveries <= 0:
            self._patience = 1

    def on_duplicate(self) -> int:
        """A duplicate acknowledgement without SACK; how many bytes it stands for (RFC 6937 section 3).

        That is a segment, as long as there is one that no other duplicate stands for. The third marks the first one
        lost, but not where it may answer what was sent again (RFC 6582 section 3.2).
        """
        self._duplicates += 1
        fresh = self._scoreboard.una > self.point
        if self._duplicates == DUPLICATE_THRESHOLD and self.phase is Phase.OPEN and fresh:
            self.mark_first_lost()
        fresh_bytes = min(self._control.mss, self._scoreboard.in_flight - self._presumed)
        self._presumed += max(0, fresh_bytes)
        return max(0, fresh_bytes)

    def beyond_duplicates(self, acked_bytes: int) -> int:
        """Without SACK: of ``acked_bytes`` those that no duplicate has stood for, the missing segment at the least."""
        counted = min(self._presumed, max(0, acked_bytes - self._control.mss))
        self._presumed -= counted
        return acked_bytes - counted

    def on_advance(self, una: int) -> None:
        """The cumulative acknowledgement moved; without SACK a partial one says that the next segment is lost too."""
        self._duplicates = 0
        if self.phase is not Phase.RECOVERY or una >= self.point:
            self._presumed = 0
        if self.phase is not Phase.OPEN and una >= self.point:
            self._end()
        elif self.phase is Phase.RECOVERY and not self.uses_sack:
            self.mark_first_lost()

    def mark_first_lost(self) -> None:
        """Declare the first segment that is outstanding lost."""
        first = self._scoreboard.first
        if first is not None and first.delivery is Delivery.IN_FLIGHT:
            if first.length > self._control.mss:
                self._scoreboard.split(first, first.seq + self._control.mss)
            self._scoreboard.mark_lost(first)

    def enter_if_lost(self, now: int) -> bool:
        """Begin recovery if something is lost and none is under way; whether it began."""
        if self.phase is not Phase.OPEN or self._scoreboard.next_lost() is None:
            return False
        scoreboard = self._scoreboard
        self.phase = Phase.RECOVERY
        self.point = scoreboard.next
        self._flight_at_start = max(1, scoreboard.next - scoreboard.una)
        self._prr_delivered = 0
        self._prr_sent = 0
        self._remember()
        self._control.on_congestion(now)
        self._window = scoreboard.in_flight + self._control.mss
        return True

    def reduce(self, delivered_bytes: int) -> None:
        """Proportional rate reduction (RFC 6937 section 3): how much may be in flight after this acknowledgement.

        Without SACK duplicates stand for what has arrived, and the one segment known to be lost is sent again at once
        (RFC 6582 section 3.2).
        """
        if self.phase is not Phase.RECOVERY or not delivered_bytes:
            return
        self._prr_delivered += delivered_bytes
        scoreboard = self._scoreboard
        in_flight = scoreboard.in_flight - self._presumed
        target = int(self._control.ssthresh)
        if in_flight > target:
            quota = -(-self._prr_delivered * target // self._flight_at_start) - self._prr_sent
        else:
            quota = max(self._prr_delivered - self._prr_sent, delivered_bytes) + self._control.mss
            quota = min(target - in_flight, quota)
        if not self._prr_sent or (not self.uses_sack and scoreboard.next_lost() is not None):
            quota = max(quota, self._control.mss)
        self._window = scoreboard.in_flight + max(quota, 0)

    def on_sent(self, size: int) -> None:
        """Bytes were sent or sent again."""
        self._prr_sent += size

    def on_resent(self, size: int) -> None:
        """Bytes were sent again."""
        self._undo.on_resent(size)

    def _remember(self, timeout_ns: int = NEVER) -> None:
        """The window of before an episode, and the probe before it, which was a repetition too."""
        start, end = self.probe or (0, 0)
        self.probe = None
        self._undo.remember(self._scoreboard.una, end - start, timeout_ns)

    def undo_if_no_timeout(self, echo_age_ns: int, now: int) -> bool:
        """The first acknowledgement that advances after a timeout; whether it shows that nothing had been lost."""
        if self.phase is not Phase.LOSS or not self._undo.was_no_timeout(echo_age_ns, now):
            return False
        self._restore()
        return True

    def undo_if_duplicates(self) -> bool:
        """Whether all repetitions of the last episode are known to have been duplicates: only the order was lost."""
        if not self._undo.all_were_duplicates():
            return False
        self._reordering_seen = True
        self._restore()
        return True

    def _restore(self) -> None:
        self._undo.restore()
        if self.phase is not Phase.OPEN:
            self._scoreboard.believe_in_flight()
            self.point = self._scoreboard.una - 1
            self._end()

    def reduce_for_good(self, now: int) -> None:
        """Congestion, but nothing to repair, and so nothing that could show that there was none."""
        self._undo.forget()
        self._control.on_congestion(now)

    def judge_probe(self, ack: int, report: tuple[int, int] | None, bare: bool, now: int) -> bool:
        """Whether the tail loss probe has repaired a loss, unnoticed: the window is reduced (RFC 8985 section 7.4.2).

        ``report``: what the acknowledgement says came twice; ``bare``: it says nothing at all but ``ack``, again.
        """
        if self.probe is None or ack < self.probe[1]:
            return False
        start, end = self.probe
        if start == end:
            self.probe = None
            return False
        needless = report is not None and report[1] == end
        if ack == end and not needless and not bare:
            return False
        self.probe = None
        if needless or bare or self.phase is not Phase.OPEN:
            return False
        self.reduce_for_good(now)
        return True

    def resend_longer_than(self, size: int) -> None:
        """Segments in flight of more than ``size`` bytes did not fit: no congestion (RFC 1191 section 6.5)."""
        scoreboard = self._scoreboard
        for record in scoreboard:
            if record.delivery is Delivery.IN_FLIGHT and record.length > size:
                scoreboard.mark_lost(record)
        if self.phase is Phase.OPEN:
            self.phase = Phase.LOSS
            self.point = scoreboard.next

    def on_timeout(self, now: int) -> None:
        """The retransmission timer expired: everything outstanding is lost (RFC 6298 section 5)."""
        first = self._scoreboard.first
        if first is None or not first.flags & SYN:  # a lost SYN says nothing about the window of the data after it
            if self.phase is Phase.OPEN:
                self._remember(now)
                self._control.on_congestion(now)
            self._control.on_timeout(now)
        self.phase = Phase.LOSS
        self.point = self._scoreboard.next
        self._scoreboard.mark_all_lost()
