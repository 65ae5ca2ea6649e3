"""Changes bytes of the stream without changing its length, as a broken device or a rewriting one does."""

from __future__ import annotations

from pydantic import Field

from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import SYN, Segment, add, distance
from testbed.units import SizeBytes


class Parameters(Directed):
    """`first` and `every`: the stream's byte at this offset, and each so many bytes after it, is inverted."""

    first_bytes: SizeBytes = Field(default=20_000, alias="first")
    every_bytes: SizeBytes = Field(default=100_000, alias="every")


class ModifyPayload(Middlebox[Parameters]):
    """A stream with some other bytes; a retransmission has the same ones."""

    parameters_model = Parameters

    def begin(self) -> None:
        self._starts: Flows[list[int | None]] = Flows(lambda: [None, None])

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        starts, parameters = self._starts.of(segment), self.parameters
        if segment.flags & SYN or starts[direction] is None:
            starts[direction] = add(segment.sequence, bool(segment.flags & SYN))
        start = starts[direction]
        assert start is not None
        payload = bytearray(segment.payload)
        # The next offset to invert that is not before the segment.
        at = parameters.first_bytes - distance(segment.sequence, start)
        if at < 0:
            at %= parameters.every_bytes
        if at >= len(payload):
            return [(direction, segment)]
        for place in range(at, len(payload), parameters.every_bytes):
            payload[place] ^= 0xFF
        return [(direction, segment.changed(payload=bytes(payload)))]
