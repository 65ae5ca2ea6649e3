"""What must come of a scenario: checks on counters, packets and what the applications saw.

A side is named by its role (`client`, `server`) or by its stack (`ours`, `kernel`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from testbed.interop.capture import Frame
from testbed.interop.scenario import Cell

OURS, KERNEL = "ours", "kernel"


@dataclass
class Evidence:
    """What was seen in one cell, by role: outcomes, counters (`MPTcpExt...`), connections left; and the packets."""

    cell: Cell
    outcomes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    counters: dict[str, Mapping[str, int]] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    build: str | None = None
    """Which build of our stack took part, as its program said."""
    died: list[str] = field(default_factory=list)
    """Programs that did not end as they should, with their last words."""

    def role(self, side: str) -> str:
        """The role of a side."""
        return {OURS: self.cell.ours, KERNEL: self.cell.kernel}.get(side, side)

    def stack(self, side: str) -> str:
        """Whose stack a side has."""
        return OURS if self.role(side) == self.cell.ours else KERNEL

    def count(self, side: str, name: str) -> int:
        """A counter, `MPTcpExt` left out of its name."""
        full = name if name.startswith(("Tcp", "Ip")) else f"MPTcpExt{name}"
        return self.counters.get(self.role(side), {}).get(full, 0)


class Check(Protocol):
    """One expectation."""

    def problem(self, evidence: Evidence) -> str | None:
        """What is not as expected, None when all is well."""


@dataclass(frozen=True)
class Count:
    """A counter of one side is within bounds."""

    side: str
    name: str
    low: int = 1
    high: float = float("inf")

    def problem(self, evidence: Evidence) -> str | None:
        count = evidence.count(self.side, self.name)
        if self.low <= count <= self.high:
            return None
        wanted = str(self.low) if self.low == self.high else f"{self.low} to {self.high:g}"
        return f"{evidence.stack(self.side)}: {self.name} is {count}, not {wanted}"


def exactly(side: str, name: str, count: int) -> Count:
    """A counter has one value."""
    return Count(side, name, count, count)


@dataclass(frozen=True)
class Seen:
    """A side sent packets with an MPTCP option whose fields are as given; how many."""

    side: str
    subtype: str
    low: int = 1
    high: float = float("inf")
    where: Mapping[str, str | Callable[[str], bool]] = field(default_factory=dict)

    def problem(self, evidence: Evidence) -> str | None:
        role = evidence.role(self.side)
        found = sum(
            frame.sender == role and self.subtype in frame.subtypes and self._fits(frame) for frame in evidence.frames
        )
        if self.low <= found <= self.high:
            return None
        fields = "".join(f" {name}" if callable(value) else f" {name}={value}" for name, value in self.where.items())
        return f"{evidence.stack(self.side)} sent {found} {self.subtype}{fields}, not {self.low} to {self.high:g}"

    def _fits(self, frame: Frame) -> bool:
        return all(
            value(frame[name]) if callable(value) else frame[name] == value for name, value in self.where.items()
        )


@dataclass(frozen=True)
class Share:
    """So much of the payload that a side sent went over further subflows, 0 to 1; reinjected bytes count again."""

    side: str
    low: float = 0.0
    high: float = 1.0

    def problem(self, evidence: Evidence) -> str | None:
        role = evidence.role(self.side)
        sent: Counter[str] = Counter()
        for frame in evidence.frames:
            if frame.sender == role:
                sent[frame["tcp.stream"]] += int(frame["tcp.len"])
        share = 1 - sent["0"] / (sent.total() or 1)
        if self.low <= share <= self.high:
            return None
        stack = evidence.stack(self.side)
        return f"{stack} sent {share:.0%} over further subflows, not {self.low:.0%} to {self.high:.0%}"


def on_both(side: str) -> Share:
    """A side sent data on further subflows, too."""
    return Share(side, 0.01)


def on_first(side: str) -> Share:
    """A side sent most data on the first subflow: what others reinject is less."""
    return Share(side, 0, 0.2)


@dataclass(frozen=True)
class TcpSeen:
    """A side sent packets with a field that tshark shows; `low` of them or more, `high` or less."""

    side: str
    field: str
    low: int = 1
    high: float = float("inf")

    def problem(self, evidence: Evidence) -> str | None:
        role = evidence.role(self.side)
        found = sum(frame.sender == role and frame[self.field] not in ("", "0") for frame in evidence.frames)
        if self.low <= found <= self.high:
            return None
        return f"{evidence.stack(self.side)} sent {found} packets with {self.field}, not {self.low} to {self.high:g}"


@dataclass(frozen=True)
class Ended:
    """A side's application got this error (None: none)."""

    side: str
    error: str | None

    def problem(self, evidence: Evidence) -> str | None:
        errors = [outcome["error"] for outcome in evidence.outcomes.get(evidence.role(self.side), [])]
        if errors and all(error == self.error for error in errors):
            return None
        return f"{evidence.stack(self.side)}'s application got {errors}, not {self.error}"
