"""Lowers the advertised window, as devices do that protect buffers of their own."""

from pydantic import Field

from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import SYN, WINDOW_SCALE, Segment
from testbed.units import SizeBytes


class Parameters(Directed):
    """`window`: most bytes that either end may seem to offer."""

    window_bytes: SizeBytes = Field(default=10_000, alias="window")


class WindowClamp(Middlebox[Parameters]):
    """No window is larger than so many bytes."""

    parameters_model = Parameters

    def begin(self) -> None:
        self._scales: Flows[list[int]] = Flows(lambda: [0, 0])

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        scales = self._scales.of(segment)
        if segment.flags & SYN:  # its own window is not scaled
            found = (option.data[0] for option in segment.options if option.kind == WINDOW_SCALE and option.data)
            scales[direction] = next(found, 0)
            most = self.parameters.window_bytes
        else:
            most = self.parameters.window_bytes >> scales[direction]
        if segment.window <= most:
            return [(direction, segment)]
        return [(direction, segment.changed(window=most))]
