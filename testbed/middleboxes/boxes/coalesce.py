"""Joins segments that follow one another, as traffic normalisers and receive offloads do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import FIN, PSH, RST, SYN, URG, Segment
from testbed.units import TimeNs

_Key = tuple[tuple[bytes, int], tuple[bytes, int]]


class Parameters(Directed):
    """`wait`: how long a segment waits for another. `options`: whose a joined segment has, of the first or the last."""

    wait_ns: TimeNs = Field(default=2_000_000, alias="wait")
    options: Literal["first", "last"] = "first"


class Coalesce(Middlebox[Parameters]):
    """Segments joined as long as they fit into the MTU. Only those smaller than half of it ever do."""

    parameters_model = Parameters
    holds = True

    def begin(self) -> None:
        self._held: dict[_Key, tuple[int, int, Segment]] = {}

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        key = segment.endpoints
        _, due_ns, held = self._held.pop(key, (direction, now_ns + self.parameters.wait_ns, None))
        passage: list[tuple[int, Segment]] = []
        if held is not None and (joined := self._join(held, segment)) is not None:
            segment = joined
        elif held is not None:
            passage.append((direction, held))
            due_ns = now_ns + self.parameters.wait_ns
        if segment.payload and not segment.flags & (SYN | FIN | RST | URG):
            self._held[key] = direction, due_ns, segment
        else:
            passage.append((direction, segment))
        self._set_deadline()
        return passage

    def on_time(self, now_ns: int) -> Passage:
        ripe = [key for key, (_, due_ns, _) in self._held.items() if due_ns <= now_ns]
        taken = [self._held.pop(key) for key in ripe]
        self._set_deadline()
        return [(direction, segment) for direction, _, segment in taken]

    def _join(self, first: Segment, second: Segment) -> Segment | None:
        """Both in one segment; None when they do not follow one another or do not fit."""
        wrong = second.sequence != first.end or not second.payload or second.flags & (SYN | RST | URG)
        if wrong:
            return None
        joined = second.changed(
            sequence=first.sequence,
            flags=second.flags | first.flags & PSH,
            options=(first if self.parameters.options == "first" else second).options,
            payload=first.payload + second.payload,
        )
        return joined if joined.ip_bytes <= self.mtu_bytes else None

    def _set_deadline(self) -> None:
        self.deadline_ns = min((due_ns for _, due_ns, _ in self._held.values()), default=None)
