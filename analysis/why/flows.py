"""TCP connections of captures, each as every file has it that saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from analysis import capture
from analysis.capture import ACK, RST, SYN, Address, Segment
from analysis.capture_file import Unread


class Seen(NamedTuple):
    """A segment in a file: `number` is its packet's there, from 1, as Wireshark counts; `hops` its TTL or hop limit."""

    file: Path
    number: int
    hops: int
    segment: Segment

    def __str__(self) -> str:
        return f"packet {self.number} of {self.file.name}"

    @property
    def time_ns(self) -> int:
        """Return when it was seen, on the clock of the file."""
        return self.segment.time_ns

    @property
    def opens(self) -> bool:
        """Return whether it is a SYN that is no answer."""
        return bool(self.segment.flags & SYN) and not self.segment.flags & ACK

    @property
    def answers(self) -> bool:
        """Return whether it is a SYN/ACK."""
        return self.segment.flags & (SYN | ACK) == SYN | ACK

    @property
    def resets(self) -> bool:
        """Return whether it is a RST."""
        return bool(self.segment.flags & RST)

    @property
    def goes_on(self) -> bool:
        """Return whether it is of what follows the SYNs, and no RST."""
        return not self.segment.flags & (SYN | RST)


@dataclass
class View:
    """A connection as one file has it."""

    file: Path
    seen: list[Seen] = field(default_factory=list)

    @property
    def answer_ns(self) -> int | None:
        """Return how long after the first SYN the first SYN/ACK was seen here: longer, the nearer to who opened it."""
        syn = next((one for one in self.seen if one.opens), None)
        answer = next((one for one in self.seen if one.answers), None)
        return None if syn is None or answer is None else answer.time_ns - syn.time_ns


@dataclass(eq=False)
class Flow:
    """A TCP connection. `opener` sent the SYN; without one (`headless`) it is who was seen first.

    `views`: the nearest to the opener first, as its SYN and the answer to it show.
    """

    opener: Address
    other: Address
    isn: int | None
    views: list[View] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.opener} - {self.other}"

    @property
    def headless(self) -> bool:
        """Return whether its SYN is in no capture."""
        return self.isn is None

    @property
    def both_ends(self) -> bool:
        """Return whether two places saw it, so that what was sent and what arrived can differ."""
        return len(self.views) > 1

    @property
    def began_ns(self) -> int:
        """Return when it was seen first."""
        return min(view.seen[0].time_ns for view in self.views)

    @property
    def ended_ns(self) -> int:
        """Return when it was seen last."""
        return max(view.seen[-1].time_ns for view in self.views)

    @property
    def clock_ahead_ns(self) -> int:
        """Return by how much the clock of the last place is ahead of the first's, if both ways take as long.

        0 where the handshake was not seen at both.
        """
        times = []
        for view in (self.views[0], self.views[-1]):
            syn, answer = next((one for one in view.seen if one.opens), None), view.answer_ns
            if syn is None or answer is None:
                return 0
            times.append((syn.time_ns, syn.time_ns + answer))
        (syn_left, answer_came), (syn_came, answer_left) = times
        return ((syn_came - syn_left) - (answer_came - answer_left)) // 2

    def was_sent(self, seen: Seen) -> bool:
        """Return whether a segment that arrived at one end had left the other by then, as the places there saw it."""
        source = seen.segment.source
        ahead_ns = self.clock_ahead_ns if source == self.other else -self.clock_ahead_ns
        return any(
            one.segment.seq == seen.segment.seq
            and one.segment.flags == seen.segment.flags
            and one.time_ns - ahead_ns <= seen.time_ns
            for one in self.sent_by(source)
        )

    def sent_by(self, end: Address) -> list[Seen]:
        """Return what an end sent, as the place nearest to it saw it."""
        view = self.views[0 if end == self.opener else -1]
        return [one for one in view.seen if one.segment.source == end]

    def arrived_from(self, end: Address) -> list[Seen]:
        """Return what an end sent, as the place nearest to its peer saw it: with one place the same."""
        view = self.views[-1 if end == self.opener else 0]
        return [one for one in view.seen if one.segment.source == end]

    def all(self) -> Iterable[Seen]:
        """Return its segments as every place saw them."""
        return (one for view in self.views for one in view.seen)

    def order(self) -> None:
        """Put the views in order."""
        self.views.sort(key=lambda view: (view.seen[0].time_ns, str(view.file)))
        gaps = [view.answer_ns for view in self.views]
        if all(gap is not None for gap in gaps):
            self.views.sort(key=lambda view: -(view.answer_ns or 0))


def read(paths: Sequence[Path], unread: Unread) -> list[Flow]:
    """Return the TCP connections of captures of one or more places, in the order of opening.

    A connection is the same in two files when its addresses and its first number are; or, where something on the way
    changes one of them, the other, each connection once a file. Raises UnreadableFile.
    """
    found: list[Flow] = []
    by_name: dict[tuple[object, ...], Flow] = {}
    for path in dict.fromkeys(paths):
        here: set[int] = set()
        turns: Counter[tuple[Address, Address]] = Counter()
        for view, opener, other, isn in _views(path, unread):
            turns[opener, other] += 1
            names = [(opener, other, isn), (isn,), (opener, other, "turn", turns[opener, other])]
            known = (by_name[name] for name in names if name in by_name and name != (None,))
            flow = next((one for one in known if id(one) not in here), None)
            if flow is None:
                flow = Flow(opener, other, isn)
                found.append(flow)
                for name in names:
                    by_name.setdefault(name, flow)
            here.add(id(flow))
            flow.views.append(_renamed(view, (opener, other), flow))
    for flow in found:
        flow.order()
    return sorted(found, key=lambda flow: flow.began_ns)


def _views(path: Path, unread: Unread) -> list[tuple[View, Address, Address, int | None]]:
    """Return the connections of one file."""
    current: dict[tuple[Address, Address], tuple[View, Address, Address, int | None]] = {}
    found = []
    for number, packet in enumerate(capture.packets(path, unread), 1):
        segment = capture.segment(packet)
        if segment is None:
            continue
        seen = Seen(path, number, capture.hops(packet), segment)
        ends = segment.source, segment.destination
        known = current.get(ends)
        if known is None or (seen.opens and known[3] != segment.seq):
            known = View(path), *ends, segment.seq if seen.opens else None
            current[ends] = current[ends[::-1]] = known
            found.append(known)
        known[0].seen.append(seen)
    return found


def _renamed(view: View, ends: tuple[Address, Address], flow: Flow) -> View:
    """Return a view with the addresses that the flow has where it was seen first."""
    names = dict(zip(ends, (flow.opener, flow.other), strict=True))
    if ends == (flow.opener, flow.other):
        return view
    for place, one in enumerate(view.seen):
        segment = one.segment
        view.seen[place] = one._replace(
            segment=segment._replace(source=names[segment.source], destination=names[segment.destination])
        )
    return view
