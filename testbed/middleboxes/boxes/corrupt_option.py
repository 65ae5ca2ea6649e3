"""Damages TCP options: one byte of each, and every checksum is right again."""

from testbed.middleboxes.base import Middlebox, Passage
from testbed.middleboxes.choice import Options
from testbed.middleboxes.packet import Option, Segment
from testbed.units import Probability


class Parameters(Options):
    """`share`: of the segments with such options that are damaged."""

    share: Probability = 1.0


class CorruptOption(Middlebox[Parameters]):
    """Segments in whose chosen options one byte is inverted; never the first, which tells subtypes apart."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        parameters = self.parameters
        meant = parameters.concern(segment) and any(map(parameters.match, segment.options))
        if not meant or self.random.random() >= parameters.share:
            return [(direction, segment)]
        options = tuple(self._damaged(one) if parameters.match(one) else one for one in segment.options)
        return [(direction, segment.changed(options=options))]

    def _damaged(self, option: Option) -> Option:
        if len(option.data) < 2:
            return option
        data = bytearray(option.data)
        data[self.random.randrange(1, len(data))] ^= 0xFF
        return option._replace(data=bytes(data))
