"""Resets connections in the middle, as firewalls and censors do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import RST, Segment
from testbed.units import SizeBytes


class Parameters(Directed):
    """`after`: bytes of payload, of both directions, until the reset. `to`: whom of the segment's ends it goes to."""

    after_bytes: SizeBytes = Field(default=50_000, alias="after")
    to: Literal["both", "sender", "receiver"] = "both"


class RstInjection(Middlebox[Parameters]):
    """Each connection gets one exact reset behind a segment of data."""

    parameters_model = Parameters

    def begin(self) -> None:
        self._left: Flows[list[int]] = Flows(lambda: [self.parameters.after_bytes])

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        left = self._left.of(segment)
        passage = [(direction, segment)]
        if left[0] <= 0 or not segment.payload:
            return passage
        left[0] -= len(segment.payload)
        if left[0] > 0:
            return passage
        onward = segment.changed(sequence=segment.end, acknowledgement=0, flags=RST, window=0, options=(), payload=b"")
        if self.parameters.to != "sender":
            passage.append((direction, onward))
        if self.parameters.to != "receiver":
            passage.append((1 - direction, segment.answer(acknowledgement=0, flags=RST, window=0)))
        return passage
