"""Which TCP options a middlebox is about: parameters that several of them share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from testbed.input.validation import FieldError, unknown
from testbed.middleboxes.base import Directed
from testbed.middleboxes.packet import (
    MPTCP,
    MSS,
    SACK,
    SACK_PERMITTED,
    SUBTYPES,
    SYN,
    TIMESTAMPS,
    WINDOW_SCALE,
    Option,
    Segment,
)

KINDS = {
    "mss": MSS, "window-scale": WINDOW_SCALE, "sack-permitted": SACK_PERMITTED, "sack": SACK, "timestamps": TIMESTAMPS,
    "mptcp": MPTCP,
}  # fmt: skip


def _parse_kind(value: Any) -> int:
    if value in KINDS:
        return KINDS[value]
    if str(value).isdigit() and 2 <= int(value) <= 255:
        return int(value)
    raise ValueError(unknown("option", value, [*KINDS, "a number from 2 to 255"]))


OptionKind = Annotated[int, BeforeValidator(_parse_kind)]
"""A TCP option by name or number."""


def _parse_subtypes(value: Any) -> tuple[str, ...]:
    subtypes = (value,) if isinstance(value, str) else tuple(value)
    for subtype in subtypes:
        if subtype not in SUBTYPES:
            raise ValueError(unknown("subtype", subtype, SUBTYPES))
    return subtypes


class Options(Directed):
    """The options of one kind, in all segments, in SYNs (SYN/ACKs too) or in others; of MPTCP some subtypes only."""

    option: OptionKind = MPTCP
    packets: Literal["all", "syn", "non-syn"] = "all"
    subtypes: Annotated[tuple[str, ...], BeforeValidator(_parse_subtypes)] = ()

    @model_validator(mode="after")
    def _subtypes_are_of_mptcp(self) -> Options:
        if self.subtypes and self.option != MPTCP:
            raise FieldError("subtypes", "are those of the option mptcp")
        return self

    def concern(self, segment: Segment) -> bool:
        """Whether options of the segment may be meant."""
        return self.packets == "all" or bool(segment.flags & SYN) == (self.packets == "syn")

    def match(self, option: Option) -> bool:
        """Whether an option is meant."""
        wanted = {SUBTYPES[name] for name in self.subtypes}
        return option.kind == self.option and (not wanted or option.subtype in wanted)
