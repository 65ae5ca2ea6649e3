"""Lowers the maximum segment size in SYNs, as routers before tunnels and DSL lines do."""

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import MSS, SYN, Option, Segment
from testbed.units import Octets


class Parameters(Directed):
    """`mss`: the most that a SYN may ask for."""

    mss_bytes: Octets = Field(default=536, alias="mss")


class MssClamp(Middlebox[Parameters]):
    """No SYN asks for segments larger than so many bytes."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        clamped = tuple(map(self._clamped, segment.options))
        if not segment.flags & SYN or clamped == segment.options:
            return [(direction, segment)]
        return [(direction, segment.changed(options=clamped))]

    def _clamped(self, option: Option) -> Option:
        if option.kind != MSS:
            return option
        return Option(MSS, min(self.parameters.mss_bytes, int.from_bytes(option.data)).to_bytes(2))
