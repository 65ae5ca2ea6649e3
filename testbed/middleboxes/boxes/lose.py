"""Loses segments of one sort at random, also a given number of the first ones."""

from typing import Literal

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import SYN, Segment
from testbed.units import Probability


class Parameters(Directed):
    """`segments`: which ones; `first`: so many of them are lost in any case; `share`: of the others."""

    segments: Literal["all", "syn", "data", "acks"] = "all"
    first: int = Field(default=0, ge=0, le=10**9)
    share: Probability = 0.01


class Lose(Middlebox[Parameters]):
    """TCP with losses."""

    parameters_model = Parameters

    def begin(self) -> None:
        self._met = 0

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        if not self._is_meant(segment):
            return [(direction, segment)]
        self._met += 1
        lost = self._met <= self.parameters.first or self.random.random() < self.parameters.share
        return [] if lost else [(direction, segment)]

    def _is_meant(self, segment: Segment) -> bool:
        match self.parameters.segments:
            case "syn":
                return bool(segment.flags & SYN)
            case "data":
                return bool(segment.payload)
            case "acks":
                return segment.bare_ack
        return True
