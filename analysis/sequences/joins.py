"""Joins that came to nothing, as a capture shows them (RFC 8684 sections 3.2 and 3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analysis import capture
from analysis.capture import RST, SYN, Segment

if TYPE_CHECKING:
    from analysis.sequences.pcap import Subflow

_MP_TCPRST: Final = 8
_REASONS: Final = (
    "unspecified", "MPTCP-specific error", "lack of resources", "administratively prohibited",
    "too much outstanding data", "unacceptable performance", "middlebox interference",
)  # fmt: skip
"""Of MP_TCPRST, by number (section 3.6)."""


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
        stripped = bool(answers) and not any(_bodies(one, capture.MP_JOIN) for one in answers)
        why = ", the SYN/ACK was without MP_JOIN" if stripped else ""
        return f"its join was reset by {resets[0].source}, {who}{why}{_reason(resets[0])}"
    if not answers and all(one.flags & SYN for one in subflow.segments):
        return f"{len(subflow.segments)} SYNs with MP_JOIN were not answered"
    return None


def _carries(segment: Segment) -> bool:
    return bool(segment.payload_bytes or (_bodies(segment, capture.DSS) and not segment.flags & RST))


def _bodies(segment: Segment, subtype: int) -> list[bytes]:
    bodies = (body for kind, body in capture.options(segment.options) if kind == capture.OPTION_MPTCP and body)
    return [body for body in bodies if body[0] >> 4 == subtype]


def _reason(reset: Segment) -> str:
    for body in _bodies(reset, _MP_TCPRST):
        if len(body) > 1:
            name = _REASONS[body[1]] if body[1] < len(_REASONS) else f"number {body[1]}"
            return f" (MP_TCPRST: {name}{', for now' if body[0] & 1 else ''})"
    return ""
