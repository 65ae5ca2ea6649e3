"""The sending half of a TCP endpoint: window, loss recovery, timers. It says when; the endpoint builds segments."""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import Final

from typing_extensions import override

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.storage import NEVER, Timer
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.pacing import Pacer
from mptcp_stack.tcp.path_mtu import PathMtu
from mptcp_stack.tcp.recovery import Phase, Recovery
from mptcp_stack.tcp.rtt import MINIMUM_RTO_NS, RttEstimator
from mptcp_stack.tcp.scoreboard import Delivery, Record, Scoreboard
from mptcp_stack.tcp.upper import Upper

_MINIMUM_PROBE_NS: Final = 10_000_000
"""As in the draft before RFC 8985: an event loop's timers are late by milliseconds, a probe too early is in vain."""
_LONGEST_ACK_DELAY_NS: Final = MINIMUM_RTO_NS
"""How long a peer may wait with the acknowledgement of a single segment (RFC 8985 section 7.2); Linux's figure."""
_CAPPED_ROUND_TRIPS: Final = 2
"""With ``cwnd_capping`` the path's buffer holds about as much as the path itself."""
_BURST_NS: Final = 1_000_000
"""A burst is at most what a path carries in this time, as Linux sizes its super-segments.

What a path carries is what all that wait for their pace send together. By its own share alone each of many connections
would send two segments at a time, and a host whose round trips are long because it has so much to do would have the
more: 300 kB to 100 clients at once cost 82 packets each, and now 33. Queues see the same rates: of 100 connections over
2 x 50 Mbit/s with room for 60 kB 26 % are lost in place of 25 %, in the simulator.
"""
_LEAST_BURST: Final = 2
_BACKLOGGED_BURST: Final = 8
"""But it may always have so many segments; more while packets wait for us: many small bursts make them wait longer."""


class Expiry(Enum):
    """What the retransmission timer means when it fires."""

    RETRANSMIT = auto()
    TAIL_LOSS_PROBE = auto()


class SenderOwner(ABC):
    """The endpoint as its sender sees it."""

    __slots__ = ()

    @abstractmethod
    def send_probe(self, now: int) -> None:
        """A tail loss probe is due: new data, or else what was sent last once more."""

    @abstractmethod
    def give_up(self, now: int) -> None:
        """The peer does not answer any more."""


class Sender(Timer):
    """State of RFC 9293's SND variables and everything that follows from acknowledgements; as a timer: retransmission.

    ``addresses``: the local and the remote one. ``upper`` hears of timeouts, and when a timer made something sendable.
    ``whole_packets``: no router on the way may cut those with data. ``probing_tail``: one segment may leave, whatever
    congestion window and pace say. ``marked``: the acknowledgement that comes reports congestion.
    """

    __slots__ = (
        "_config", "_context", "_expiry", "_full_until", "_lone", "_option_bytes", "_owner", "_pacer", "_path",
        "_probe_from_ns", "_probed", "_reorder_timer", "_round_end", "_timeout_ns", "_upper", "_window_ack",
        "_window_seq", "control", "marked", "maximum_window", "mss", "peer_mss", "probing", "probing_tail", "recovery",
        "retries", "rtt", "scoreboard", "whole_packets", "window",
    )  # fmt: skip
    __deletable__ = ("_owner", "_upper")

    def __init__(
        self,
        context: Context,
        iss: int,
        control: CongestionControl,
        addresses: tuple[bytes, bytes],
        now: int,
        upper: Upper,
        owner: SenderOwner,
    ) -> None:
        super().__init__(context.timers, upper)
        self._context = context
        self._config = context.config
        self.control = control
        self.mss = control.mss
        self.peer_mss = control.mss
        mtu = context.mtu(addresses[0])
        self._path = PathMtu(mtu, addresses, context.path_sizes, context.timers, self, now)
        self.whole_packets = self._path.size.whole
        self._option_bytes = 0
        self.scoreboard = Scoreboard(iss)
        self.rtt = RttEstimator()
        self.recovery = Recovery(self.scoreboard, self.rtt, control)
        self.window = 0
        self.maximum_window = 0
        self.probing = False
        self._window_seq = 0
        self._window_ack = 0
        self.retries = context.config.syn_retries
        self._upper = upper
        self._owner = owner
        self._expiry = Expiry.RETRANSMIT
        self._timeout_ns = NEVER
        self._probe_from_ns = 0
        self._lone = False
        self._probed = False
        self.probing_tail = False
        self.marked = False
        self._round_end = iss
        self._full_until = iss
        self._reorder_timer: Timer | None = None
        """From the first segment on that is late."""
        self._pacer = Pacer(control, context, upper)

    # --- how large segments may be

    def limit_segments(self, option_bytes: int) -> None:
        """Set the MSS from what the peer takes and the path carries; ``option_bytes`` go with every segment.

        The congestion window has room for one segment at the least, also where it was one of smaller ones: else nothing
        would ever leave that could open it.
        """
        self._option_bytes = option_bytes
        room = min(self.peer_mss, self._path.mss, self._config.maximum_segment_bytes) - option_bytes
        self.mss = self.control.mss = max(room, 1)
        self.control.cwnd = max(self.control.cwnd, self.mss)
        self.whole_packets = self._path.size.whole and room > 0

    def on_packet_too_big(self, mtu: int, now: int) -> None:
        """A router could not forward a segment: the path carries ``mtu`` bytes only (RFC 1191, RFC 8201)."""
        before = self.mss
        if not self._path.too_big(mtu, now):
            return
        self.limit_segments(self._option_bytes)
        self.recovery.resend_longer_than(min(self.mss, before - 1))
        self._upper.wake()

    def path_grows(self) -> None:
        """Packets may be larger again."""
        self.limit_segments(self._option_bytes)

    def _suspect_black_hole(self, now: int) -> None:
        """Timeouts: perhaps segments are too large, and nobody says so."""
        first = self.scoreboard.first
        length = min(first.length, self.mss) if first is not None else 0
        if self._path.suspect(self.rtt.backoff, length, self._option_bytes, now):
            self._context.counters["PathMtuBlackHoles"] += 1
            self.limit_segments(self._option_bytes)

    # --- what may be sent

    def take_window(self, window: int, seq: int, ack: int) -> None:
        """The peer offers ``window`` bytes from ``ack`` on, unless it had said something newer (RFC 9293, 3.10.7.4).

        ``seq``: of the segment, but not beyond RCV.NXT. One from the future (reordered, or forged) would make all that
        follow look old. A window counts from its acknowledgement: on a repetition they go together.
        """
        newer = seq > self._window_seq or (seq == self._window_seq and ack >= self._window_ack)
        if newer or ack > self.scoreboard.una:
            self.window, self._window_seq, self._window_ack = window, seq, ack
            if window > self.maximum_window:
                self.maximum_window = window

    def room(self, now: int) -> int:
        """Bytes of new data that congestion window, pace and the peer's window allow; 0 while lost data waits."""
        scoreboard = self.scoreboard
        if scoreboard.next_lost() is not None:
            return 0
        by_peer = scoreboard.una + self.window - scoreboard.next
        if self.probing_tail:
            return max(0, min(self.mss, by_peer))
        by_congestion = self.recovery.window - scoreboard.in_flight
        if by_congestion < self.mss and by_congestion < by_peer:
            self._full_until = scoreboard.next
        if self._pacer.holds(now):
            return 0
        return max(0, min(by_congestion, by_peer))

    def pace_wait_ns(self, now: int) -> int:
        """How long pace keeps back a full segment that the window allows; 0: not at all, or that does not."""
        scoreboard = self.scoreboard
        if self.recovery.window - scoreboard.in_flight < self.mss or scoreboard.next_lost() is not None:
            return 0
        return self._pacer.wait_ns(now)

    def is_silly(self, size: int) -> bool:
        """Whether to wait for more room than ``size`` bytes (RFC 9293 section 3.8.6.2.1), while no probe is out."""
        return not self.probing and size < min(self.mss, self.maximum_window // 2)

    def refuses(self, room: int, wanted: int) -> bool:
        """Whether a window with ``room`` keeps ``wanted`` bytes waiting: it is shut, or so small that they should."""
        return room < min(wanted, self.mss) and (room <= 0 or self.is_silly(room))

    def burst_limit(self) -> int:
        """Bytes that one super-segment should carry at the most, a multiple of the MSS."""
        limit = self._config.gso_max_bytes
        srtt_ns = self.rtt.srtt_ns
        if srtt_ns > _BURST_NS:
            shared = self._context.shared
            least = _BACKLOGGED_BURST if shared.backlogged else _LEAST_BURST
            path_carries = max(shared.paced, 1) * 2 * self.control.cwnd * _BURST_NS / srtt_ns
            limit = min(limit, max(int(path_carries), least * self.mss))
        return max(limit // self.mss, 1) * self.mss

    def sent(self, record: Record, now: int) -> None:
        """A new record goes out. A tail loss probe waits from now on; the timer is told when it fires."""
        self.scoreboard.append(record)
        self.control.active = True
        self._transmitted(record, now)
        self._probe_from_ns = now
        if not self.armed:
            self._arm(now)
        elif self._lone or self._expiry is Expiry.RETRANSMIT:
            self._schedule()

    def next_retransmission(self, now: int) -> Record | None:
        """The next lost record as far as the congestion window lets it go, marked as sent now; None when done."""
        scoreboard = self.scoreboard
        record = scoreboard.next_lost()
        if record is None or self._pacer.holds(now):
            return None
        room = self.recovery.window - scoreboard.in_flight
        if room < min(record.size, self.mss) and scoreboard.in_flight:
            return None
        limit = max(min(room, self.burst_limit()) // self.mss, 1) * self.mss
        if record.length > limit:
            scoreboard.split(record, record.seq + limit)
        scoreboard.resend(record)
        self._repeated(record, now)
        if not self.armed:
            self._arm(now)
        return record

    def next_probe(self, now: int) -> Record | None:
        """The last segment, marked as sent again now, as a tail loss probe without new data (RFC 8985 section 7.3).

        Its acknowledgement shows what is missing before it. None if the peer has taken back the window for it.
        """
        scoreboard = self.scoreboard
        last = scoreboard.last
        if last is None or last.delivery is not Delivery.IN_FLIGHT:
            return None
        if last.length > self.mss:
            scoreboard.split(last, last.seq + last.length - 1 - (last.length - 1) % self.mss)
            last = scoreboard.last
            assert last is not None
        if last.seq >= scoreboard.una + self.window and last is not scoreboard.first:
            return None
        self.recovery.probe = last.seq, last.end
        self._repeated(last, now)
        return last

    def _repeated(self, record: Record, now: int) -> None:
        self._transmitted(record, now)
        self.recovery.on_resent(record.end - record.seq)
        segments = -(-record.length // self.mss) or 1
        self._context.counters["TcpRetransSegs"] += segments
        self._context.counters["TcpOutSegs"] -= segments  # which those are not among (RFC 4022)

    def _transmitted(self, record: Record, now: int) -> None:
        record.sent_ns = now
        record.transmissions += 1
        size = record.end - record.seq
        self.recovery.on_sent(size)
        if self._config.pacing and self.burst_limit() < self._config.gso_max_bytes - self.mss:
            self._pacer.sent(size, self.rtt.srtt_ns, now)

    # --- what came back

    def on_ack(self, ack: int, blocks: list[tuple[int, int]], duplicate: bool, echo_age_ns: int, now: int) -> int:
        """An acceptable acknowledgement; how many bytes are newly known to have arrived.

        One below SND.UNA was overtaken, and what it selects counts all the same (RFC 6675 section 5).
        ``echo_age_ns``: how long ago the segment was sent whose timestamp comes back with it, 0 without timestamps.
        ``duplicate``: it carries no data and no window change, so that it counts as a duplicate if nothing advances.
        """
        scoreboard = self.scoreboard
        recovery = self.recovery
        flight = scoreboard.in_flight
        outstanding = scoreboard.una < scoreboard.next
        delivered: list[Record] = []
        report = None
        acked_bytes = max(0, ack - scoreboard.una)
        advanced = acked_bytes > 0
        if advanced:
            scoreboard.acknowledge(ack, delivered)
            self.probing = False
            if recovery.undo_if_no_timeout(echo_age_ns, now):
                self._context.counters["TcpExtTCPSpuriousRTOs"] += 1
        if blocks:
            scoreboard.select(blocks, delivered)
            report = self._duplicate_report(blocks, ack)
        arrived_bytes = delivered_bytes = 0
        if delivered:
            arrived_bytes = delivered_bytes = sum(record.end - record.seq for record in delivered)
            self._measure(delivered, echo_age_ns if advanced else 0, now)
            recovery.on_delivered(delivered, now)
            if not recovery.uses_sack:
                arrived_bytes = recovery.beyond_duplicates(acked_bytes)
        elif duplicate and outstanding and not advanced and not recovery.uses_sack:
            arrived_bytes = recovery.on_duplicate()
        self._tell_control()
        if recovery.phase is not Phase.OPEN:
            # SND.UNA may pass at once what arrived long ago: what arrives now counts. Without SACK nobody knows that,
            # and the window at the end of a recovery is what RFC 6582 section 3.2 says.
            known = recovery.uses_sack or recovery.phase is Phase.LOSS
            acked_bytes = min(acked_bytes, delivered_bytes) if known else 0
        if advanced:
            recovery.on_advance(ack)
            if self._path.in_doubt:
                longest = max((record.length for record in delivered), default=0)
                self._path.arrived(longest + self._option_bytes, now)
        if recovery.probe and recovery.judge_probe(ack, report, duplicate and not advanced and not blocks, now):
            self._context.counters["TcpExtTCPLossProbeRecovery"] += 1
        if report and recovery.undo_if_duplicates():
            self._context.counters["TcpExtTCPDSACKUndo"] += 1
        if recovery.uses_sack and (len(scoreboard.sacked) or recovery.phase is not Phase.OPEN):
            self._look_for_losses(now)
        self._enter_recovery_if_lost(now)
        self._grow(flight, acked_bytes, now)
        recovery.reduce(arrived_bytes)
        if delivered or advanced:  # it may pass what was selected before, though it should have passed that at once
            self._arm(now)
        return delivered_bytes

    def _duplicate_report(self, blocks: list[tuple[int, int]], ack: int) -> tuple[int, int] | None:
        """The first block if it reports what came twice: below ``ack`` or within the second (RFC 2883 section 4)."""
        start, end = blocks[0]
        counters = self._context.counters
        if not start < end <= self.scoreboard.next:
            return None
        if end <= ack:
            counters["TcpExtTCPDSACKRecv"] += 1
        elif len(blocks) > 1 and blocks[1][0] <= start and end <= blocks[1][1]:
            counters["TcpExtTCPDSACKOfoRecv"] += 1
        else:
            return None
        if not self.recovery.on_duplicate_report(start, end):
            counters["TcpExtTCPDSACKIgnoredDubious"] += 1
            return None
        return start, end

    def on_congestion_echo(self, now: int) -> None:
        """The peer saw a congestion mark (RFC 3168 section 6.1.2): as a loss, but there is nothing to repair."""
        if self.recovery.phase is Phase.OPEN:
            self.recovery.reduce_for_good(now)

    def _measure(self, delivered: list[Record], echo_age_ns: int, now: int) -> None:
        """An RTT sample of the newest record, if none was repeated (Karn's rule, RFC 6298 section 3).

        What arrived once but behind a hole is acknowledged only with the repetition that fills it. In such cases the
        coarser echo of a timestamp tells when the segment left that brought the acknowledgement (RFC 7323 section 4.1).
        """
        if all(record.transmissions == 1 for record in delivered):
            self.rtt.sample(now - max(record.sent_ns for record in delivered))
        elif echo_age_ns:
            self.rtt.sample(echo_age_ns)
        else:
            return
        self._probed = False

    def _tell_control(self) -> None:
        """The round-trip times, and whether a new round trip has begun."""
        control = self.control
        control.srtt_ns = self.rtt.srtt_ns
        control.rtt_ns = self.rtt.latest_ns
        if self.scoreboard.una >= self._round_end:
            self._round_end = self.scoreboard.next
            control.round_trip += 1

    def _grow(self, flight: int, acked_bytes: int, now: int) -> None:
        """Open the window, but only if it was full (RFC 7661's concern) and nothing is being repaired.

        Acknowledged is what SND.UNA passes (RFC 5681 section 3.1): reports of a gap open nothing (section 3.2 step 1).
        The acknowledgement that ends a recovery counts already, the one that begins it no more, as in Linux. What comes
        with a report of congestion counts not at all (RFC 3168 section 6.1.2).

        Full: what is acknowledged left before the window last had no room for another segment. In slow start half full
        is enough, as it doubles.
        """
        if not acked_bytes or self.recovery.phase is Phase.RECOVERY or self.marked:
            return
        if self._config.cwnd_capping and self.rtt.latest_ns > _CAPPED_ROUND_TRIPS * self.rtt.minimum_ns:
            return
        control = self.control
        full = self.scoreboard.una <= self._full_until or flight > control.cwnd - self.mss
        if full or (control.in_slow_start and 2 * flight >= control.cwnd):
            control.on_ack(acked_bytes, now)

    def _enter_recovery_if_lost(self, now: int) -> None:
        if self.recovery.enter_if_lost(now):
            name = "TcpExtTCPSackRecovery" if self.recovery.uses_sack else "TcpExtTCPRenoRecovery"
            self._context.counters[name] += 1

    def _look_for_losses(self, now: int) -> None:
        self._look_again_at(self.recovery.detect(now))

    def _look_again_at(self, time: int) -> None:
        """Look for losses again at ``time``, or ``NEVER``."""
        timer = self._reorder_timer
        if time == NEVER:
            if timer is not None:
                timer.cancel()
            return
        if timer is None:
            timer = self._reorder_timer = self._context.timers.timer(self._reorder_timer_fired, self._upper)
        timer.set(time)

    # --- timers

    def _arm(self, now: int) -> None:
        """Restart the retransmission timer (RFC 6298 section 5)."""
        if self.scoreboard.una == self.scoreboard.next:
            self.cancel()
            self._look_again_at(NEVER)
            self.control.active = False
            return
        self._timeout_ns = now + self.rtt.rto_ns
        self._probe_from_ns = now
        self._schedule()

    def _schedule(self) -> None:
        """Set the timer, for a tail loss probe where there may be one: it comes no later than the timeout would.

        There may be one (RFC 8985 sections 7.2 and 7.3) while nothing is being repaired, nor about to be, and where
        there is a round-trip time, measured after the probe before.
        """
        recovery, scoreboard = self.recovery, self.scoreboard
        may_probe = (
            recovery.uses_sack
            and not self._probed
            and recovery.phase is Phase.OPEN
            and recovery.probe is None
            and not len(scoreboard.sacked)
            and self.rtt.srtt_ns > 0
        )
        deadline = self._timeout_ns
        self._expiry = Expiry.RETRANSMIT
        self._lone = False
        if may_probe:
            self._expiry = Expiry.TAIL_LOSS_PROBE
            wait_ns = max(2 * self.rtt.srtt_ns, _MINIMUM_PROBE_NS)
            self._lone = scoreboard.in_flight <= self.mss and scoreboard.first is scoreboard.last
            if self._lone:
                wait_ns += _LONGEST_ACK_DELAY_NS
            deadline = min(deadline, self._probe_from_ns + wait_ns)
        self.set(deadline)

    def overdue(self, now: int) -> bool:
        """Whether what is under way has waited for the whole retransmission timeout."""
        return now >= self._timeout_ns

    @override
    def expire(self, now: int) -> None:
        if self._expiry is Expiry.TAIL_LOSS_PROBE:
            self._schedule()
            if self.deadline > now:
                return
        if self._expiry is Expiry.TAIL_LOSS_PROBE:
            self._probe_tail(now)
            return
        if self.rtt.backoff >= self.retries:
            self._owner.give_up(now)
            return
        self._context.counters["TcpExtTCPTimeouts"] += 1
        self.recovery.on_timeout(now)
        self.control.active = False
        self.rtt.backoff += 1
        self._suspect_black_hole(now)
        self._probed = True
        self._arm(now)
        self._upper.on_timeout(now)
        self._upper.wake()

    def _probe_tail(self, now: int) -> None:
        """Have a tail loss probe sent, new data if there are any; the timeout follows (RFC 8985 section 7.3)."""
        recovery, scoreboard = self.recovery, self.scoreboard
        self._probed = self.probing_tail = True
        before = scoreboard.next
        self._owner.send_probe(now)
        self.probing_tail = False
        if scoreboard.next > before:
            recovery.probe = scoreboard.next, scoreboard.next
        if recovery.probe is not None:
            self._context.counters["TcpExtTCPLossProbes"] += 1
        self._arm(now)
        self._upper.wake()

    def _reorder_timer_fired(self, now: int) -> None:
        self._look_for_losses(now)
        self._enter_recovery_if_lost(now)
        self._upper.wake()

    def stop(self) -> None:
        """No timer fires any more."""
        self.cancel()
        self._path.cancel()
        self._pacer.cancel()
        self._look_again_at(NEVER)

    @override
    def end(self) -> None:
        super().end()
        self._path.end()
        self._pacer.end()
        if self._reorder_timer is not None:
            self._reorder_timer.end()
        del self._owner, self._upper
