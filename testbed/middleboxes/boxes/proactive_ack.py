"""Acknowledges data before its receiver does, as performance enhancing proxies do (RFC 3135 section 3.1)."""

from testbed.middleboxes.acknowledging import Side, acknowledge
from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import Segment, distance


class Parameters(Directed):
    """`swallow`: the receiver's bare ACKs that tell the sender nothing new are dropped, whatever options they carry.

    `direction` is that of the data.
    """

    swallow: bool = False


class ProactiveAck(Middlebox[Parameters]):
    """Every segment of data is acknowledged at once, and goes on; if it is lost then, nobody sends it again."""

    parameters_model = Parameters

    def begin(self) -> None:
        self.acts_on, self.concerned = self.concerned, (True, True)
        self._flows = Flows(lambda: (Side(), Side()))

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        sides = self._flows.of(segment)
        sender, receiver = sides[direction], sides[1 - direction]
        if self.parameters.swallow and _says_nothing_new(segment, sender, receiver):
            return []
        if not sender.note(segment) or not self.acts_on[direction]:
            return [(direction, segment)]
        ack = acknowledge(segment, sender, receiver)
        return [(direction, segment), *([(1 - direction, ack)] if ack else [])]


def _says_nothing_new(segment: Segment, side: Side, other: Side) -> bool:
    known = other.acknowledged is not None and distance(segment.acknowledgement, other.acknowledged) <= 0
    return segment.bare_ack and known and segment.window <= side.window
