"""What one direction of an emulated link does to frames."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from testbed.links.emulator.service import RateService, Service, TraceService

_UNLIMITED = 1 << 62


@dataclass(slots=True)
class Counters:
    """What became of the frames of one direction; a super-segment counts as the packets it is split into.

    `queue_dropped`: the queue was full. `lost`: on the wire. `down`: the link was down, or went down while they waited.
    `late`: taken or delivered more than a millisecond after their time, where a rate is asked. `split`: super-segments
    that came in. `malformed`: super-segments that could not be split. `refused`: not taken by the interface at the
    other end.
    """

    offered: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    queue_dropped: int = 0
    lost: int = 0
    down: int = 0
    reordered: int = 0
    duplicated: int = 0
    late: int = 0
    split: int = 0
    malformed: int = 0
    refused: int = 0


class Treatment:
    """The settings of `testbed.spec.Impairments` at hand for every frame."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        queue = settings["queue"] or {"amount": _UNLIMITED, "unit": "bytes"}
        self.rate_bps: int = settings["rate_bps"] or 0
        self.limit_bytes = queue["amount"] if queue["unit"] == "bytes" else _UNLIMITED
        self.limit_packets = queue["amount"] if queue["unit"] == "packets" else _UNLIMITED
        self.delay_ns: int = settings["delay_ns"]
        self.jitter_ns: int = settings["jitter_ns"]
        self.loss: float = settings["loss"]
        self.bursts: Mapping[str, float] | None = settings["burst_loss"]
        self.reorder: float = settings["reorder"]
        self.reorder_extra_ns: int = settings["reorder_extra_ns"]
        self.duplicate: float = settings["duplicate"]
        self.up: bool = settings.get("up", True)
        self.plain = not (self.loss or self.bursts or self.jitter_ns or self.reorder or self.duplicate)


class Direction:
    """Rate, queue, delay and mistreatment of frames; when they arrive is known when they are offered.

    `settings` are those of `testbed.spec.Impairments`, `schedule` the same with `at_ns` and `up` for what follows (both
    as JSON), `trace` a delivery trace (`opportunities_ms`, `packet_bytes`). Rate and queue count Ethernet frames
    without preamble and checksum, as the kernel's shapers do.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        seed: str,
        schedule: Sequence[Mapping[str, Any]] = (),
        trace: Mapping[str, Any] | None = None,
    ) -> None:
        self.counters = Counters()
        self._treatments = [Treatment(settings), *map(Treatment, schedule)]
        self._offsets_ns = [one["at_ns"] for one in schedule]
        self._service: Service = (
            TraceService(trace["opportunities_ms"], trace["packet_bytes"])
            if trace
            else RateService([one.rate_bps for one in self._treatments])
        )
        self.is_shaped = trace is not None or any(one.rate_bps for one in self._treatments)
        # What waits or is being sent: when each frame will have left, and its length.
        self._waiting: deque[tuple[int, int]] = deque()
        self._waiting_bytes = 0
        self._changes_ns: list[int] = []
        self._downs_ns: list[int] = []
        self.seed(seed)

    def seed(self, seed: str) -> None:
        """Begin anew, in the first state: from here the same frames meet the same fate for the same seed."""
        self._random = Random(seed)
        self._draw = self._random.random
        self._bad = False
        self._last_ns = 0
        self._changes_ns, self._downs_ns = [], []
        self._service.stop()

    def start(self, zero_ns: int) -> None:
        """Begin schedule and trace at `zero_ns`."""
        self._changes_ns = [zero_ns + offset for offset in self._offsets_ns]
        changes = zip(self._changes_ns, self._treatments[1:], strict=True)
        self._downs_ns = [at_ns for at_ns, treatment in changes if not treatment.up]
        self._service.start(zero_ns, self._changes_ns)

    def offer(self, length_bytes: int, now_ns: int) -> tuple[int, ...]:
        """When a frame that enters now comes out, in ns: never when it is dropped, twice when duplicated."""
        self.counters.offered += 1
        treatment = self._treatment(now_ns)
        if not treatment.up:
            self.counters.down += 1
            return ()
        sent_ns = now_ns
        if self.is_shaped:
            if not self._has_room(length_bytes, now_ns, treatment):
                self.counters.queue_dropped += 1
                return ()
            sent_ns = self._service.sent_ns(length_bytes, now_ns)
            if self._downs_ns and self._is_cut(sent_ns, now_ns, length_bytes):
                self.counters.down += 1
                return ()
            self._waiting.append((sent_ns, length_bytes))
            self._waiting_bytes += length_bytes
            treatment = self._treatment(sent_ns)
        return self._propagate(sent_ns, treatment)

    def _treatment(self, at_ns: int) -> Treatment:
        return self._treatments[bisect_right(self._changes_ns, at_ns)]

    def _has_room(self, length_bytes: int, now_ns: int, treatment: Treatment) -> bool:
        waiting = self._waiting
        while waiting and waiting[0][0] <= now_ns:
            self._waiting_bytes -= waiting.popleft()[1]
        return self._waiting_bytes + length_bytes <= treatment.limit_bytes and len(waiting) < treatment.limit_packets

    def _is_cut(self, sent_ns: int, now_ns: int, length_bytes: int) -> bool:
        """Whether the link goes down before the frame has left the queue; it takes its place there until then."""
        number = bisect_right(self._downs_ns, now_ns)
        if number == len(self._downs_ns) or sent_ns <= self._downs_ns[number]:
            return False
        down_ns = self._downs_ns[number]
        self._service.cut(down_ns)
        self._waiting.append((down_ns, length_bytes))
        self._waiting_bytes += length_bytes
        return True

    def _propagate(self, sent_ns: int, treatment: Treatment) -> tuple[int, ...]:
        if not treatment.plain:
            if self._is_lost(treatment):
                self.counters.lost += 1
                return ()
            if treatment.duplicate and self._draw() < treatment.duplicate:
                self.counters.duplicated += 1
                return (self._arrival_ns(sent_ns, treatment), self._arrival_ns(sent_ns, treatment))
        return (self._arrival_ns(sent_ns, treatment),)

    def _is_lost(self, treatment: Treatment) -> bool:
        bursts = treatment.bursts
        if bursts is not None:
            if self._draw() < bursts["leave" if self._bad else "enter"]:
                self._bad = not self._bad
            if self._bad and self._draw() < bursts["lost"]:
                return True
        return treatment.loss > 0 and self._draw() < treatment.loss

    def _arrival_ns(self, sent_ns: int, treatment: Treatment) -> int:
        arrival_ns = sent_ns + treatment.delay_ns
        if treatment.jitter_ns:
            arrival_ns += int((2 * self._draw() - 1) * treatment.jitter_ns)
        if treatment.reorder and self._draw() < treatment.reorder:
            self.counters.reordered += 1
            return arrival_ns + treatment.reorder_extra_ns
        # Neither jitter nor a delay that shrinks reorders: no frame overtakes the one before.
        if arrival_ns > self._last_ns:
            self._last_ns = arrival_ns
        return self._last_ns
