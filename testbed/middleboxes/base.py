"""What a middlebox is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Generic, Literal, TypeVar

from testbed.input.validation import Frozen
from testbed.middleboxes.packet import ACK, SYN, Packet, Segment, Traffic

Passage = Sequence[tuple[int, Traffic]]
"""What goes on from a middlebox, and in which direction, in this order."""

_MOST_FLOWS = 4096


class Parameters(Frozen):
    """What can be set for a middlebox; it adds its own in a subclass."""


class Directed(Parameters):
    """Parameters of a middlebox that may act on one direction of the link only; the other passes untouched."""

    direction: Literal["both", "forward", "backward"] = "both"


P = TypeVar("P", bound=Parameters)


@dataclass(slots=True)
class Counters:
    """Packets of both directions: those that came, and of these the changed and dropped; and those made here.

    Of one that is split, the first part is the changed one, the others are injected. A middlebox that only holds
    packets back for a while drops and injects none.
    """

    seen: int = 0
    changed: int = 0
    dropped: int = 0
    injected: int = 0


class Middlebox(Generic[P]):
    """A device on a link. A subclass overrides what it cares for; the rest passes.

    `direction` is FORWARD or BACKWARD. Time is in ns and never goes back. When `deadline_ns` is set, `on_time` is
    called as soon as it is reached; it must move or clear it.
    """

    parameters_model: ClassVar[type[Parameters]] = Directed
    holds: ClassVar[bool] = False
    """Whether it keeps packets and lets them go later: what does not come out is not dropped then."""

    def __init__(self, parameters: P, random: Random, mtu_bytes: int) -> None:
        self.parameters = parameters
        self.random = random
        self.mtu_bytes = mtu_bytes
        self.counters = Counters()
        self.deadline_ns: int | None = None
        wanted = getattr(parameters, "direction", "both")
        self.concerned = (wanted != "backward", wanted != "forward")
        self.begin()

    def begin(self) -> None:
        """Make the state that the middlebox needs."""

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        """Return what becomes of a TCP segment."""
        return [(direction, segment)]

    def on_packet(self, packet: Packet, direction: int, now_ns: int) -> Passage:
        """Return what becomes of any other packet: ICMP, ARP, UDP, fragments, malformed TCP."""
        return [(direction, packet)]

    def on_time(self, now_ns: int) -> Passage:
        """Return what goes on at `deadline_ns`."""
        return []

    def take(self, traffic: Traffic, direction: int, now_ns: int) -> Passage:
        """Hand a packet to the middlebox and count what becomes of it."""
        if not self.concerned[direction]:
            return [(direction, traffic)]
        self.counters.seen += 1
        handle: Callable[[Any, int, int], Passage] = self.on_segment if isinstance(traffic, Segment) else self.on_packet
        passage = handle(traffic, direction, now_ns)
        if len(passage) != 1 or passage[0][1] is not traffic:
            self._count(traffic, direction, passage)
        return passage

    def expire(self, now_ns: int) -> Passage:
        """Tell the middlebox that its deadline is reached."""
        passage = self.on_time(now_ns)
        if not self.holds:
            self.counters.injected += len(passage)
        return passage

    def _count(self, traffic: Traffic, direction: int, passage: Passage) -> None:
        if self.holds:
            self.counters.changed += sum(one.frame is None for _, one in passage)
            return
        same = any(one is traffic for _, one in passage)
        onward = any(way == direction for way, _ in passage)
        self.counters.changed += onward and not same
        self.counters.dropped += not onward
        self.counters.injected += len(passage) - onward


S = TypeVar("S")


class Flows(Generic[S]):
    """State by TCP connection: made at its first packet, and anew when another connection begins between its ports."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self._states: dict[tuple[tuple[bytes, int], tuple[bytes, int]], tuple[int | None, S]] = {}

    def of(self, segment: Segment) -> S:
        """Return the state of the segment's connection."""
        first, second = segment.endpoints
        key = (first, second) if first < second else (second, first)
        known = self._states.get(key)
        begins = segment.sequence if segment.flags & (SYN | ACK) == SYN else None
        if known is None or (begins is not None and begins != known[0]):  # not for a SYN that is repeated
            if len(self._states) >= _MOST_FLOWS:
                del self._states[next(iter(self._states))]
            known = self._states[key] = begins, self._make()
        return known[1]

    def __iter__(self) -> Iterator[S]:
        return (state for _, state in self._states.values())
