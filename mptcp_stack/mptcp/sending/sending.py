"""The sending half of a connection: which bytes go to which subflow, and what happens when they do not arrive."""

from itertools import islice
from typing import Final

from typing_extensions import override

from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.mptcp.scheduler.base import Scheduler, Traffic
from mptcp_stack.mptcp.sending.data_timer import DataTimer
from mptcp_stack.mptcp.sending.head_of_line import HeadOfLineBlocking, Reinjection, outstanding
from mptcp_stack.mptcp.sending.owner import SendingOwner
from mptcp_stack.mptcp.sending.send_buffer import SendBuffer, needed_bytes
from mptcp_stack.mptcp.sending.small_writes import SmallWrites
from mptcp_stack.mptcp.subflow import tracepoints
from mptcp_stack.mptcp.subflow.owner import DataSender
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.observe import DataSent, Reinjected
from mptcp_stack.storage import NEVER, Chunks, SendQueue
from mptcp_stack.tcp import Sender

SEGMENT_CHARGE_BYTES: Final = 768
"""What a segment takes of the peer's window at the least, however short it is.

A receiver pays for segments, not for bytes, and Linux takes no data of a connection once its buffer is spent, not even
those that all others wait for: a window used up by short segments that it cannot join, as they came in fragments, never
opens again. Measured with Linux 6.18 below an MTU of 552 bytes: it charges 1250 bytes for one and gives half of its
buffer as window, so each costs 625; the rest is for those that are shorter still, the ends of what was cut later.
"""


class Sending(DataSender):
    """Data from the application to the subflows; positions count from 0 at the first byte of the stream."""

    __slots__ = (
        "_connection", "_data_timer", "_edge", "_head_of_line", "_orphan_deadline_ns", "_persisting", "_reinjections",
        "_scheduler", "_unsent", "buffer", "fin", "fin_sent", "queue", "small_writes",
    )  # fmt: skip
    __deletable__ = ("_connection",)

    def __init__(self, connection: SendingOwner, scheduler: type[Scheduler]) -> None:
        self._connection = connection
        self._unsent = _Unsent(connection, self)
        self._scheduler = scheduler(self._unsent)
        self._head_of_line = HeadOfLineBlocking(connection)
        self.queue = SendQueue(0)
        config = connection.stack.config
        self.buffer = SendBuffer(config.send_buffer_bytes, config.send_buffer_autotuning)
        self.fin: int | None = None
        """Where our DATA_FIN is in the stream, once the application has closed its side."""
        self.fin_sent = False
        self._edge = 0
        self._reinjections: dict[int, Reinjection] = {}
        self.small_writes = SmallWrites(connection)
        self._persisting = False
        self._orphan_deadline_ns = NEVER
        self._data_timer = DataTimer(connection, self)

    @property
    def finished(self) -> bool:
        """Everything was acknowledged, the end of data included."""
        return self.fin is not None and self.fin_sent and self.queue.base > self.fin

    @property
    def delivered(self) -> bool:
        """All data were acknowledged, and their end was sent."""
        return self.fin_sent and self.queue.base >= self.queue.end

    @property
    @override
    def pending_fin(self) -> Mapping | None:
        if self.fin is None or not self.fin_sent or self.queue.base > self.fin:
            return None
        return self._checked(Mapping(ssn=0, dsn=self.fin, length=0, data_fin=True), [])

    @property
    def unsent_bytes(self) -> int:
        """Bytes from the application that were not sent on any subflow."""
        return self.queue.unsent_bytes

    @property
    @override
    def window_bytes(self) -> int:
        return self._edge - self.queue.base

    # --- out

    def output(self, now: int) -> None:
        """Give subflows everything they can take."""
        connection = self._connection
        for subflow in connection.subflows:
            subflow.endpoint.retransmit(now)
        if self._reinjections:
            self._reinject(now)
        if self._scheduler.redundant:
            self._send_copies(now)
        if self.queue.next < self.queue.end:
            self._send_new(now)
        elif connection.wants_room:
            self._relieve(now)
        if self.fin is not None and not self.fin_sent and self.queue.next == self.queue.end:
            self.send_fin(now)
        if self.queue.next < self.queue.end or self._reinjections or self._scheduler.redundant or self._persisting:
            self._watch_windows(now)

    def _send_new(self, now: int) -> None:
        queue = self.queue
        while queue.next < queue.end:
            allowed = self._allowed()
            silly = allowed < queue.end - queue.next and self._is_silly(allowed)
            if silly:
                self._relieve(now)
            subflow = None if silly else self._choose(allowed, now)
            if subflow is None or not self._send_burst(subflow, allowed, now):
                return

    def _allowed(self) -> int:
        """How much new data there is and the peer's window lets go."""
        unsent = self.queue.end - self.queue.next
        return unsent if self._connection.is_plain else min(unsent, self._edge - self.queue.next)

    def _send_burst(self, subflow: Subflow, allowed: int, now: int) -> bool:
        """Send new data, of ``allowed`` bytes what the subflow takes at once; False: it should rather wait for more."""
        queue = self.queue
        connection = self._connection
        plain = connection.is_plain
        unsent = queue.end - queue.next
        short = allowed < unsent
        endpoint = subflow.endpoint
        sender = endpoint.sender
        if sender.mss < SEGMENT_CHARGE_BYTES and not plain:
            bearable = self._bearable_bytes(sender.mss)
            if bearable < min(allowed, sender.mss):
                return False
            allowed = min(allowed, bearable)
        first = connection.needs_third_ack and not plain
        infinite = plain and connection.fallback.infinite_due
        burst = min(allowed, sender.room(now), sender.mss if first or infinite else sender.burst_limit())
        burst = self._without_silly_tail(burst, unsent, sender, now)
        if not burst:
            return False
        mapping = None
        dsn = queue.next
        chunks = queue.take(burst)
        last = queue.next == queue.end
        if not plain:
            data_fin = last and self.fin is not None and not first
            ssn = sender.scoreboard.next - endpoint.iss
            mapping = self._checked(Mapping(ssn, dsn, burst, data_fin, first), chunks)
            connection.fallback.contiguous &= not subflow.number
            self.fin_sent = self.fin_sent or data_fin
            if first:
                connection.needs_third_ack = False
            if not self._data_timer.armed:
                self._data_timer.arm(now)
        elif infinite:
            mapping = connection.fallback.infinite_mapping(subflow, dsn)
        subflow.carry(dsn, dsn + burst)
        full = short and allowed - burst < sender.mss
        record = endpoint.transmit(chunks, burst, mapping, last or full, now)
        tracepoints.sent(DataSent, subflow, record, dsn, now)
        if self._scheduler.redundant:
            if max(subflow.covered, queue.base) == dsn:
                subflow.covered = queue.next
            self._send_copies(now)
        return True

    @override
    def probe(self, subflow: Subflow, now: int) -> bool:
        queue, connection = self.queue, self._connection
        wanted = subflow.mss
        uncovered = max(subflow.covered, queue.base)
        if self._scheduler.redundant and not connection.is_plain and uncovered < queue.next:
            wanted = min(wanted, queue.next - uncovered)
            if self._choose(wanted, now, only=subflow) is None:
                return False
            subflow.covered = uncovered + self._send_again(subflow, uncovered, wanted, now)
            return True
        allowed = self._allowed()
        silly = allowed < queue.end - queue.next and self._is_silly(allowed)
        if silly or self._choose(min(allowed, wanted), now, only=subflow) is None:
            return False
        return self._send_burst(subflow, allowed, now)

    def _bearable_bytes(self, mss: int) -> int:
        """How much more the peer can keep in segments of ``mss`` (see ``SEGMENT_CHARGE_BYTES``)."""
        unacknowledged = self.queue.next - self.queue.base
        return max(self.window_bytes // SEGMENT_CHARGE_BYTES, 1) * mss - unacknowledged

    def _is_silly(self, allowed: int) -> bool:
        """Whether the connection's window has too little room for a segment; one subflow that has probed uses it."""
        for subflow in self._connection.subflows:
            sender = subflow.endpoint.sender
            if sender.window and subflow.usable and not sender.is_silly(allowed):
                return False
        return True

    def _without_silly_tail(self, burst: int, unsent: int, sender: Sender, now: int) -> int:
        """``burst`` without what should wait for more: full segments rather than all that there is room for."""
        partial = burst % sender.mss
        if not partial:
            return burst
        if burst < unsent:
            return burst - partial if burst > sender.mss else burst
        if self.fin is None:
            if not sender.probing_tail and self.small_writes.waits(self.queue.base, now):
                return burst - partial
            self.small_writes.sent(self.queue.next + burst)
        return burst

    def _checked(self, mapping: Mapping, chunks: Chunks) -> Mapping:
        if self._connection.checksums:
            mapping.checksum = mapping.checksum_of(chunks, self._connection.local_key)
        return mapping

    def _relieve(self, now: int) -> None:
        """The peer's window is full, or our buffer: all is sent, and nothing more can be until the oldest arrives."""
        oldest = self._head_of_line.relieve(self.queue.base, now)
        if oldest is not None:
            self._reinjections[oldest.dsn] = oldest
            self._reinject(now)

    def _choose(
        self, wanted: int, now: int, origin: Subflow | None = None, only: Subflow | None = None
    ) -> Subflow | None:
        """The subflow for the next ``wanted`` bytes at the most; ``origin`` has them already, ``only`` alone may."""
        if wanted <= 0:
            return None
        subflows = self._connection.subflows
        offered = subflows if only is None else [only]
        candidates = [subflow for subflow in offered if subflow is not origin and subflow.can_send(wanted, now)]
        scheduler = self._scheduler
        if not scheduler.uses_backups:
            candidates = _without_backups(candidates, subflows)
        candidates = _without_distrusted(candidates, subflows, now)
        chosen = scheduler.select(candidates, wanted) if candidates else None
        if chosen is not None and scheduler.patient and self._waiting_pays(chosen, origin, now):
            return None
        return chosen

    def _waiting_pays(self, chosen: Subflow, origin: Subflow | None, now: int) -> bool:
        """Whether pace alone holds up a subflow over which data would be there before those over ``chosen``.

        Only where buffers are too small for all subflows together: there, what is on a slow one soon stops the others.
        """
        subflows, chosen_ns = self._connection.subflows, chosen.srtt_ns
        faster = [subflow for subflow in subflows if subflow.srtt_ns < chosen_ns and subflow is not origin]
        if not faster:
            return False
        return any(
            (wait_ns := subflow.pace_wait_ns(now)) and 2 * wait_ns + subflow.srtt_ns < chosen_ns
            for subflow in faster
            if not (subflow.backup or subflow.failing)
        ) and min(self.window_bytes, self.buffer.capacity_bytes) < needed_bytes(subflows)

    def send_fin(self, now: int) -> None:
        """Send the end of data (again): a FIN of TCP, or a DATA_FIN without payload on the best subflow."""
        connection = self._connection
        if connection.is_plain:
            for subflow in connection.subflows:
                if subflow.usable:
                    self.fin_sent = True
                    infinite = connection.fallback.infinite_due
                    mapping = connection.fallback.infinite_mapping(subflow, self.queue.next) if infinite else None
                    subflow.endpoint.finish(now, mapping)
            return
        carrier = connection.carrier()
        if carrier is not None:
            carrier.repeat_third_ack(now)
            self.fin_sent = True
            carrier.endpoint.send_ack(now)
            self._data_timer.arm(now)

    # --- reinjection

    def _reinject(self, now: int) -> None:
        """Send what waits, oldest first; what no subflow but its own could carry does not hold up the rest."""
        for waiting in list(self._reinjections.values()):
            del self._reinjections[waiting.dsn]
            while max(waiting.dsn, self.queue.base) < waiting.end:
                rest = self._reinject_burst(waiting, now)
                if rest is None:
                    self._reinjections[waiting.dsn] = waiting
                    break
                waiting = rest

    def _reinject_burst(self, waiting: Reinjection, now: int) -> Reinjection | None:
        """Send one burst; returns what is left of it, None if no subflow takes anything."""
        start = max(waiting.dsn, self.queue.base)
        length = waiting.end - start
        chosen = self._choose(length, now, waiting.origin)
        if chosen is None:
            return None
        self._connection.count("MPTcpExtReinjections")
        self._connection.count("MPTcpExtMPTCPRetrans")
        return waiting._replace(dsn=start + self._send_again(chosen, start, length, now))

    def _send_again(self, subflow: Subflow, dsn: int, length: int, now: int) -> int:
        """Send a burst of what another subflow carries as well; how many of the ``length`` bytes it took."""
        endpoint = subflow.endpoint
        burst = min(length, endpoint.sender.room(now), endpoint.sender.burst_limit())
        data_fin = self.fin_sent and dsn + burst == self.fin
        part = self.queue.peek(dsn, dsn + burst)
        mapping = self._checked(Mapping(endpoint.sender.scoreboard.next - endpoint.iss, dsn, burst, data_fin), part)
        self._connection.fallback.contiguous = False
        subflow.carry(dsn, dsn + burst)
        record = endpoint.transmit(part, burst, mapping, True, now)
        tracepoints.sent(Reinjected, subflow, record, dsn, now)
        return burst

    def _send_copies(self, now: int) -> None:
        """What any subflow has sent and is not acknowledged goes out on the others too (``Scheduler.redundant``)."""
        if self._connection.is_plain:
            return
        queue = self.queue
        subflows = [subflow for subflow in self._connection.subflows if subflow.usable]
        for subflow in _without_backups(subflows, subflows):
            dsn = max(subflow.covered, queue.base)
            while dsn < queue.next and subflow.can_send(queue.next - dsn, now):
                end = min(queue.next, dsn + subflow.endpoint.sender.burst_limit())
                dsn += self._send_again(subflow, dsn, end - dsn, now)
            subflow.covered = dsn

    @override
    def on_subflow_timeout(self, subflow: Subflow) -> None:
        if len(self._connection.subflows) > 1:
            self.reinject_from(subflow)

    def reinject_from(self, subflow: Subflow) -> None:
        """Queue everything outstanding on a subflow for the others, unless they send everything anyway."""
        if self._connection.is_plain or self._scheduler.redundant:
            return
        for burst in outstanding(subflow):
            if burst.end > self.queue.base:
                self._reinjections[burst.dsn] = burst

    def take_over_from(self, subflow: Subflow) -> None:
        """A subflow is gone: queue what it holds for others.

        With checksums that is also what TCP has acknowledged: the peer cannot verify what it has of a mapping now.
        """
        self.reinject_from(subflow)
        if self._connection.checksums and self._connection.is_mptcp and not self._scheduler.redundant:
            self.reinject_all_of(subflow)

    def reinject_all_of(self, subflow: Subflow) -> None:
        """Queue what a subflow has carried and no DATA_ACK has, whatever TCP says of it."""
        for start, end in subflow.carried:
            first = max(start, self.queue.base)
            if first < end:
                self.reinject(first, end, subflow)

    def reinject_unacknowledged(self) -> None:
        """Queue everything that the peer has not acknowledged as data, wherever it was sent."""
        queue = self.queue
        self._reinjections.pop(queue.base, None)
        if queue.next > queue.base:
            self.reinject(queue.base, queue.next, None)

    def reinject(self, dsn: int, end: int, origin: Subflow | None) -> None:
        """Queue what was sent and not acknowledged for any subflow but ``origin``; for all if another one was that."""
        known = self._reinjections.get(dsn)
        if known is not None:
            end = max(end, known.end)
            origin = origin if origin is known.origin else None
        self._reinjections[dsn] = Reinjection(dsn, end, origin)

    def is_reinjecting(self, dsn: int) -> bool:
        """Whether a byte is queued to be sent again, and a subflow that answers may carry it."""
        return any(
            waiting.dsn <= dsn < waiting.end
            and any(one.usable and not one.failing and one is not waiting.origin for one in self._connection.subflows)
            for waiting in self._reinjections.values()
        )

    # --- acknowledgements

    @override
    def offer(self, window: int) -> None:
        self._edge = max(self._edge, self.queue.base + window)

    @property
    @override
    def end(self) -> int:
        return self.queue.next + (1 if self.fin_sent else 0)

    @override
    def vouched(self) -> int:
        subflows = self._connection.subflows
        segment = max((subflow.mss for subflow in subflows), default=0)
        if min(self.queue.end, self._edge) - self.queue.next >= segment:
            return self.queue.base
        waiting = [burst.dsn for burst in self._reinjections.values()]
        for subflow in subflows:
            waiting += (burst.dsn for burst in islice(outstanding(subflow), 1))
        return min(waiting, default=self.end)

    @override
    def on_data_ack(self, data_ack: int, window: int, now: int) -> None:
        end = self.end
        if data_ack > end:
            return
        if data_ack + window > self._edge:
            self._edge = data_ack + window
            if self._persisting:
                for subflow in self._connection.subflows:
                    subflow.persist.hasten(now)
        if data_ack > self.queue.base:
            self._advance(data_ack, now)
            if self.queue.base == end:
                self._data_timer.cancel()
            else:
                self._data_timer.arm(now)

    @override
    def fall_back(self) -> None:
        self.fin_sent = False
        self._reinjections.clear()
        self._data_timer.cancel()

    @override
    def on_plain_ack(self, acked_bytes: int, now: int) -> None:
        if acked_bytes > self.queue.base:
            self._advance(min(acked_bytes, self.queue.next + (1 if self.fin_sent else 0)), now)

    def _advance(self, data_ack: int, now: int) -> None:
        self._data_timer.restart()
        self._orphan_deadline_ns = NEVER
        self.queue.release(min(data_ack, self.queue.next))
        if data_ack > self.queue.base:
            self.queue.base = data_ack
        self._connection.data_acked(now)

    # --- windows that keep data waiting

    def _watch_windows(self, now: int) -> None:
        """Have every subflow ask that has nothing under way and whose window keeps data waiting."""
        waiting = False
        for subflow in self._connection.subflows:
            if subflow.endpoint.sender.scoreboard.first is None and (edge := self.shut_at(subflow)) is not None:
                subflow.persist.watch(edge, now)
                waiting = True
            elif self._persisting:
                subflow.persist.stop()
        self._persisting = waiting

    @override
    def shut_at(self, subflow: Subflow) -> int | None:
        sender, queue = subflow.endpoint.sender, self.queue
        if sender.scoreboard.first is not None or not subflow.usable or not self._may_use(subflow):
            return None
        wanted = unsent = queue.end - queue.next
        if any(waiting.origin is not subflow for waiting in self._reinjections.values()):
            wanted = max(wanted, sender.mss)
        if self._scheduler.redundant and not self._connection.is_plain:
            wanted = max(wanted, queue.next - max(subflow.covered, queue.base))
        if wanted and sender.refuses(sender.window, wanted):
            return sender.scoreboard.una + sender.window
        allowed = self._edge - queue.next
        if not self._connection.is_plain and allowed < unsent and sender.refuses(allowed, unsent):
            return self._edge
        return None

    def _may_use(self, subflow: Subflow) -> bool:
        return self._scheduler.uses_backups or bool(_without_backups([subflow], self._connection.subflows))

    @override
    def waits_in_vain(self, now: int) -> bool:
        connection = self._connection
        if connection.detached:
            orphan_deadline_ns = now + connection.stack.config.orphan_timeout_ns
            self._orphan_deadline_ns = min(self._orphan_deadline_ns, orphan_deadline_ns)
        return now >= self._orphan_deadline_ns

    def stop(self) -> None:
        """No timer fires any more."""
        self.small_writes.cancel()
        self._data_timer.cancel()
        for subflow in self._connection.subflows:
            subflow.persist.stop()

    def dissolve(self) -> None:
        """The connection is over: nothing refers back, nor to a subflow."""
        self.small_writes.end()
        self._data_timer.end()
        self._head_of_line.dissolve()
        self._unsent.dissolve()
        self._reinjections.clear()
        del self._connection


class _Unsent(Traffic):
    """What there is to send, for the scheduler to look at."""

    __slots__ = ("_connection", "_sending")
    __deletable__ = ("_connection", "_sending")

    def __init__(self, connection: SendingOwner, sending: Sending) -> None:
        self._connection = connection
        self._sending = sending

    @property
    @override
    def subflows(self) -> list[Subflow]:
        return [subflow for subflow in self._connection.subflows if subflow.usable]

    @property
    @override
    def unsent_bytes(self) -> int:
        return self._sending.queue.unsent_bytes

    @property
    @override
    def window_bytes(self) -> int:
        return self._sending.window_bytes

    def dissolve(self) -> None:
        """The connection is over: nothing refers back."""
        del self._connection, self._sending


def _without_backups(candidates: list[Subflow], subflows: list[Subflow]) -> list[Subflow]:
    """``candidates`` as RFC 8684 section 3.3.8 has it: a backup only when no regular subflow can be relied on."""
    for candidate in candidates:
        if candidate.backup:
            break
    else:
        return candidates
    if any(subflow.usable and not (subflow.backup or subflow.failing) for subflow in subflows):
        return [candidate for candidate in candidates if not candidate.backup]
    return candidates


def _without_distrusted(candidates: list[Subflow], subflows: list[Subflow], now: int) -> list[Subflow]:
    """``candidates`` without those that have lost acknowledged data, as long as there is any other."""
    for candidate in candidates:
        if candidate.distrusted_until_ns > now:
            break
    else:
        return candidates
    if any(subflow.usable and not subflow.failing and subflow.distrusted_until_ns <= now for subflow in subflows):
        return [candidate for candidate in candidates if candidate.distrusted_until_ns <= now]
    return candidates
