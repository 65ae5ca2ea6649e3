"""What middleboxes share that acknowledge data in the place of its receiver."""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.middleboxes.packet import RST, SYN, TIMESTAMPS, Option, Segment, add, distance


@dataclass(slots=True)
class Side:
    """What was seen of one end of a connection.

    `data_end`: where its data ends without a gap, FIN not counted; None before its first packet. `next`: its next
    sequence number. `window` and `timestamp` are its last ones. `acknowledged`: up to where its data was acknowledged
    here; None before that. `copies`: of its segments of data, by sequence number, for those that keep any.
    """

    data_end: int | None = None
    next: int = 0
    window: int = 0
    timestamp: bytes = b""
    acknowledged: int | None = None
    copies: dict[int, Segment] = field(default_factory=dict)

    def note(self, segment: Segment) -> bool:
        """Take note of a segment of this end; whether it has data without a gap before it."""
        self.window = segment.window
        self.timestamp = next((one.data[:4] for one in segment.options if one.kind == TIMESTAMPS), self.timestamp)
        begins = bool(segment.flags & SYN)
        if self.data_end is None or begins:
            self.data_end = self.next = add(segment.sequence, begins)
        end = add(segment.sequence, begins + len(segment.payload))
        follows = distance(segment.sequence, self.data_end) <= 0
        if follows and distance(end, self.data_end) > 0:
            self.data_end = end
        if distance(segment.end, self.next) > 0:
            self.next = segment.end
        return follows and bool(segment.payload) and not segment.flags & (SYN | RST)


def acknowledge(segment: Segment, sender: Side, receiver: Side) -> Segment | None:
    """An ACK of all of the sender's data so far, as its receiver would send it; None while that one is unknown."""
    if receiver.data_end is None or sender.data_end is None:
        return None
    echo = next((one.data[:4] for one in segment.options if one.kind == TIMESTAMPS), b"")
    options = (Option(TIMESTAMPS, receiver.timestamp + echo),) if receiver.timestamp and echo else ()
    sender.acknowledged = sender.data_end
    return segment.answer(
        sequence=receiver.next, acknowledgement=sender.data_end, window=receiver.window, options=options
    )
