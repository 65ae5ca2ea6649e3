"""Puts acknowledgements out of order."""

from __future__ import annotations

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import Segment
from testbed.units import Probability, TimeNs


class Parameters(Directed):
    """`share`: of acknowledgements that are held. `wait`: for how long, while later ones overtake them."""

    share: Probability = 0.3
    wait_ns: TimeNs = Field(default=5_000_000, alias="wait")


class ReorderAcks(Middlebox[Parameters]):
    """Bare ACKs of which some come later than those after them."""

    parameters_model = Parameters
    holds = True

    def begin(self) -> None:
        self._held: list[tuple[int, int, Segment]] = []

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        if not segment.bare_ack or self.random.random() >= self.parameters.share:
            return [(direction, segment)]
        self._held.append((now_ns + self.parameters.wait_ns, direction, segment))
        self.deadline_ns = self._held[0][0]
        return []

    def on_time(self, now_ns: int) -> Passage:
        ripe = [(direction, segment) for due_ns, direction, segment in self._held if due_ns <= now_ns]
        self._held = self._held[len(ripe) :]  # all wait equally long, so they are in order
        self.deadline_ns = self._held[0][0] if self._held else None
        return ripe
