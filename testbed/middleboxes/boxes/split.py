"""Splits segments, as network cards with TCP segmentation and some proxies do."""

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import Segment, split
from testbed.units import SizeBytes


class Parameters(Directed):
    """`size`: most payload of a segment. `copy_options`: all parts have the options, as from cards, or the first."""

    size_bytes: SizeBytes = Field(default=700, alias="size")
    copy_options: bool = True


class Split(Middlebox[Parameters]):
    """Segments of at most so many bytes."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        parameters = self.parameters
        return [(direction, part) for part in split(segment, parameters.size_bytes, parameters.copy_options)]
