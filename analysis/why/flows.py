"""TCP connections of captures, each as every file has it that saw it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
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

    def place(self, one: Seen) -> int | None:
        """Return a segment's number, counted from the first of its sender as it is here; None where that is not seen.

        Something on the way may have moved all of them.
        """
        source = one.segment.source
        first = next((seen for seen in self.seen if seen.segment.source == source and seen.segment.flags & SYN), None)
        return None if first is None else (one.segment.seq - first.segment.seq) % (1 << 32)


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

    def was_sent(self, seen: Seen) -> bool:
        """Return whether a segment that arrived at one end had left the other by then, as the places there saw it."""
        near, far = (self.views[0], self.views[-1])[:: 1 if seen.segment.source == self.opener else -1]
        place = far.place(seen)
        return any(
            one.segment.source == seen.segment.source
            and one.segment.flags == seen.segment.flags
            and one.time_ns <= seen.time_ns
            and (near.place(one) == place or None in (near.place(one), place))
            for one in near.seen
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

    def order(self, usual_ns: Mapping[Path, float]) -> None:
        """Put the views in order: by how long answers take there, to this SYN or else usually; or by time."""
        self.views.sort(key=lambda view: (view.seen[0].time_ns, str(view.file)))
        own = [view.answer_ns for view in self.views]
        if None not in own:
            self.views.sort(key=lambda view: -(view.answer_ns or 0))
        elif all(view.file in usual_ns for view in self.views):
            self.views.sort(key=lambda view: -usual_ns[view.file])


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
    answers: dict[Path, list[int]] = defaultdict(list)
    for view in (view for flow in found if flow.both_ends for view in flow.views):
        if view.answer_ns is not None:
            answers[view.file].append(view.answer_ns)
    usual_ns = {file: median(times) for file, times in answers.items()}
    for flow in found:
        flow.order(usual_ns)
    _synchronise(found)
    return sorted(found, key=lambda flow: flow.began_ns)


def _synchronise(flows: Sequence[Flow]) -> None:
    """Have all times be those of one clock, as far as the same connections in two files tell how theirs differ.

    Clocks by which nothing arrives before it left may be the same, and stay; others differ so that both ways of a
    handshake take as long.
    """
    differ: dict[Path, dict[Path, int]] = defaultdict(dict)
    for flow in flows:
        if flow.both_ends and (ahead_ns := _ahead_ns(flow.views[0], flow.views[-1])) is not None:
            near, far = flow.views[0].file, flow.views[-1].file
            differ[near].setdefault(far, ahead_ns)
            differ[far].setdefault(near, -ahead_ns)
    ahead: dict[Path, int] = {}
    for start in differ:
        waiting = [] if start in ahead else [(start, 0)]
        while waiting:
            file, offset_ns = waiting.pop()
            ahead[file] = offset_ns
            waiting += [(other, offset_ns + more) for other, more in differ[file].items() if other not in ahead]
    for view in (view for flow in flows for view in flow.views if ahead.get(view.file)):
        view.seen = [
            one._replace(segment=one.segment._replace(time_ns=one.time_ns - ahead[view.file])) for one in view.seen
        ]


def _ahead_ns(near: View, far: View) -> int | None:
    """Return by how much the clock of the far place is ahead; None where one has not seen SYN and SYN/ACK."""
    times = []
    for view in (near, far):
        syn, answer_ns = next((one for one in view.seen if one.opens), None), view.answer_ns
        if syn is None or answer_ns is None:
            return None
        times.append((syn.time_ns, syn.time_ns + answer_ns))
    (syn_left, answer_came), (syn_came, answer_left) = times
    there_ns, back_ns = syn_came - syn_left, answer_came - answer_left
    return 0 if there_ns >= 0 and back_ns >= 0 else (there_ns - back_ns) // 2


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
