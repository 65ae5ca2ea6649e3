"""Keeps copies of data and sends them again itself, as snoop and split-connection proxies do (RFC 3135)."""

from __future__ import annotations

from pydantic import Field

from testbed.middleboxes.acknowledging import Side, acknowledge
from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import ACK, Segment, distance
from testbed.units import SizeBytes, TimeNs


class Parameters(Directed):
    """`acks`: whether data is acknowledged as soon as a copy of it is kept.

    `timeout`: how long after the last acknowledgement by the receiver the oldest copy is sent again. It is also at the
    third repetition of an acknowledgement, and from then on at each one that shows a further gap, as in RFC 6582.
    `buffer`: most bytes kept for each direction of a connection; data beyond passes without a copy, unacknowledged. It
    should not exceed the queue of the link. `direction` is that of the data.
    """

    acks: bool = True
    timeout_ns: TimeNs = Field(default=200_000_000, alias="timeout")
    buffer_bytes: SizeBytes = Field(default=64_000, alias="buffer")


class _Sender(Side):
    """An end whose data is kept."""

    __slots__ = ("direction", "due_ns", "known", "recover", "repeated")

    def __init__(self) -> None:
        super().__init__()
        self.direction = 0
        self.due_ns: int | None = None
        self.known = 0
        self.recover: int | None = None
        self.repeated = 0

    @property
    def oldest(self) -> Segment:
        """The oldest copy; segments are kept in the order of their numbers, but for those sent again."""
        return self.copies[min(self.copies, key=lambda sequence: distance(sequence, self.known))]


class RetransmittingProxy(Middlebox[Parameters]):
    """Losses behind it are repaired by it; what it acknowledged is its to deliver."""

    parameters_model = Parameters

    def begin(self) -> None:
        self.acts_on, self.concerned = self.concerned, (True, True)
        self._flows = Flows(lambda: (_Sender(), _Sender()))

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        sides = self._flows.of(segment)
        sender, receiver = sides[direction], sides[1 - direction]
        sender.direction = direction
        passage: list[tuple[int, Segment]] = [(direction, segment)]
        if segment.flags & ACK and receiver.copies:
            passage += self._hear(receiver, segment, now_ns)
        kept = sender.note(segment) and self.acts_on[direction] and self._keep(sender, segment, now_ns)
        if kept and self.parameters.acks and (ack := acknowledge(segment, sender, receiver)):
            passage.append((1 - direction, ack))
        self._set_deadline()
        return passage

    def on_time(self, now_ns: int) -> Passage:
        passage: list[tuple[int, Segment]] = []
        for sides in self._flows:
            for side in sides:
                if side.due_ns is not None and side.due_ns <= now_ns:
                    passage.append(self._repair(side, now_ns))
        self._set_deadline()
        return passage

    def _keep(self, sender: _Sender, segment: Segment, now_ns: int) -> bool:
        if not sender.copies:
            sender.known, sender.repeated, sender.recover = segment.sequence, 0, None
            sender.due_ns = now_ns + self.parameters.timeout_ns
        kept_bytes = sum(len(copy.payload) for copy in sender.copies.values())
        if kept_bytes + len(segment.payload) > self.parameters.buffer_bytes:
            return False
        sender.copies[segment.sequence] = segment
        return True

    def _hear(self, kept: _Sender, ack: Segment, now_ns: int) -> list[tuple[int, Segment]]:
        """Take the receiver's word for what has arrived; what it lacks, to be sent again."""
        if distance(ack.acknowledgement, kept.known) > 0:
            kept.known, kept.repeated = ack.acknowledgement, 0
            arrived = [sequence for sequence, copy in kept.copies.items() if distance(copy.end, kept.known) <= 0]
            for sequence in arrived:
                del kept.copies[sequence]
            kept.due_ns = now_ns + self.parameters.timeout_ns if kept.copies else None
            gap = kept.recover is not None and distance(kept.recover, kept.known) > 0
            return [self._repair(kept, now_ns)] if gap and kept.copies else []
        kept.repeated += ack.bare_ack
        return [self._repair(kept, now_ns)] if kept.repeated == 3 else []

    def _repair(self, kept: _Sender, now_ns: int) -> tuple[int, Segment]:
        """Send the oldest copy again; what is after it may have gaps as well."""
        if kept.recover is None or distance(kept.recover, kept.known) <= 0:
            kept.recover = kept.data_end
        kept.due_ns = now_ns + self.parameters.timeout_ns
        return kept.direction, kept.oldest

    def _set_deadline(self) -> None:
        due = (side.due_ns for sides in self._flows for side in sides if side.due_ns is not None)
        self.deadline_ns = min(due, default=None)
