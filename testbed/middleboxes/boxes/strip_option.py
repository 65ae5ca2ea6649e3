"""Removes TCP options, as firewalls and normalisers do with those they do not know."""

from pydantic import Field

from testbed.middleboxes.base import Flows, Middlebox, Passage
from testbed.middleboxes.choice import Options
from testbed.middleboxes.packet import NOP, Option, Segment
from testbed.units import SizeBytes


class Parameters(Options):
    """`nops`: options are overwritten with NOPs, so that headers keep their length, instead of cut out.

    `after`: it begins when a connection has carried so many bytes of payload in all.
    """

    nops: bool = False
    after_bytes: SizeBytes | None = Field(default=None, alias="after")


class StripOption(Middlebox[Parameters]):
    """Segments without the chosen options."""

    parameters_model = Parameters

    def begin(self) -> None:
        self._carried: Flows[list[int]] = Flows(lambda: [0])

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        parameters, carried = self.parameters, self._carried.of(segment)
        carried[0] += len(segment.payload)
        if carried[0] < (parameters.after_bytes or 0):
            return [(direction, segment)]
        if not parameters.concern(segment) or not any(map(parameters.match, segment.options)):
            return [(direction, segment)]
        kept: list[Option] = []
        for option in segment.options:
            if not parameters.match(option):
                kept.append(option)
            elif parameters.nops:
                kept += [Option(NOP)] * (2 + len(option.data))
        return [(direction, segment.changed(options=tuple(kept)))]
