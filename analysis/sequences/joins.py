"""Joins that came to nothing, as a capture shows them (RFC 8684 sections 3.2 and 3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis import capture
from analysis import mptcp_options as options
from analysis.capture import RST, SYN, Segment

if TYPE_CHECKING:
    from analysis.sequences.pcap import Subflow


def failure(subflow: Subflow) -> str | None:
    """Return how the join that `subflow` asked for came to nothing; None when it did not, or no one can tell."""
    resets = [one for one in subflow.segments if one.flags & RST]
    if any(_carries(one) for one in subflow.segments if not one.flags & SYN):
        return None
    answers = [one for one in subflow.segments if one.source == subflow.other and not one.flags & RST]
    # The opener's third ACK is answered (section 3.2) where the join is good.
    if any(not one.flags & SYN for one in answers):
        return None
    if resets:
        who = "who asked to join" if resets[0].source == subflow.opener else "who was asked"
        stripped = bool(answers) and not any(options.has(one, capture.MP_JOIN) for one in answers)
        why = ", the SYN/ACK was without MP_JOIN" if stripped else ""
        return f"its join was reset by {resets[0].source}, {who}{why}{_reason(resets[0])}"
    if not answers and all(one.flags & SYN for one in subflow.segments):
        return f"{len(subflow.segments)} SYNs with MP_JOIN were not answered"
    return None


def _carries(segment: Segment) -> bool:
    return bool(segment.payload_bytes or (options.has(segment, capture.DSS) and not segment.flags & RST))


def _reason(reset: Segment) -> str:
    said = options.reset_reason(reset)
    return f" (MP_TCPRST: {said})" if said else ""
