"""Repeats acknowledgements."""

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import Segment
from testbed.units import Probability


class Parameters(Directed):
    """`copies`: how many more of a repeated acknowledgement arrive. `share`: of them that are repeated."""

    copies: int = Field(default=3, ge=1, le=100)
    share: Probability = 0.1


class DuplicateAcks(Middlebox[Parameters]):
    """Bare ACKs that arrive several times."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        if segment.bare_ack and self.random.random() < self.parameters.share:
            return [(direction, segment)] * (1 + self.parameters.copies)
        return [(direction, segment)]
