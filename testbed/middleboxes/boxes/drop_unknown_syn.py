"""Drops SYNs that carry an option which it does not know, as some firewalls do."""

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.choice import OptionKind
from testbed.middleboxes.packet import MSS, SACK_PERMITTED, SYN, TIMESTAMPS, WINDOW_SCALE, Segment


class Parameters(Directed):
    """`known`: the options that may pass."""

    known: tuple[OptionKind, ...] = (MSS, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS)


class DropUnknownSyn(Middlebox[Parameters]):
    """No SYN or SYN/ACK with an unknown option gets through."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        known = self.parameters.known
        if segment.flags & SYN and any(option.kind not in known for option in segment.options):
            return []
        return [(direction, segment)]
