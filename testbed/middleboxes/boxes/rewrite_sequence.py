"""Randomises sequence numbers, as firewalls do that do not trust their hosts' initial ones."""

from testbed.middleboxes.base import Flows, Middlebox, Parameters, Passage
from testbed.middleboxes.packet import ACK, SACK, Option, Segment, add, change_edges


class RewriteSequenceParameters(Parameters):
    """`sack`: whether selective acknowledgements are translated as well; some devices forget them."""

    sack: bool = True


class RewriteSequence(Middlebox[RewriteSequenceParameters]):
    """Each direction of a connection has its numbers moved by a random amount."""

    parameters_model = RewriteSequenceParameters

    def begin(self) -> None:
        self._flows = Flows(lambda: (self.random.getrandbits(32), self.random.getrandbits(32)))

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        offsets = self._flows.of(segment)
        ahead, back = offsets[direction], -offsets[1 - direction]
        acknowledges = segment.flags & ACK
        rewritten = segment.changed(
            sequence=add(segment.sequence, ahead),
            acknowledgement=add(segment.acknowledgement, back) if acknowledges else segment.acknowledgement,
            options=tuple(self._translated(option, back) for option in segment.options),
        )
        return [(direction, rewritten)]

    def _translated(self, option: Option, offset: int) -> Option:
        if option.kind != SACK or not self.parameters.sack:
            return option
        return change_edges(option, lambda edge: add(edge, offset))
