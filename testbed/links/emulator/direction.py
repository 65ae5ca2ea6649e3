"""What one direction of an emulated link does to frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

_SECOND = 1_000_000_000


@dataclass(slots=True)
class Counters:
    """What became of the frames of one direction.

    `queue_dropped`: the queue was full. `lost`: on the wire. `late`: delivered, but more than a millisecond after they
    were due. `oversized`: super-segments that should have been split. `refused`: not taken by the interface at the
    other end.
    """

    offered: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    queue_dropped: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0
    late: int = 0
    oversized: int = 0
    refused: int = 0


class Direction:
    """Rate, queue, delay and mistreatment of frames; when they arrive is known when they are offered.

    `settings` are those of `testbed.spec.Impairments`; the rate and the queue count Ethernet frames without preamble
    and checksum, as the kernel's shapers do.
    """

    def __init__(self, settings: Mapping[str, Any], seed: str) -> None:
        self.counters = Counters()
        self._rate_bps: int = settings["rate_bps"] or 0
        # In bit x ns per second, the unit of a backlog in time times the rate: no division a frame.
        self._limit: int = (settings["queue_bytes"] or 0) * 8 * _SECOND
        self._delay_ns: int = settings["delay_ns"]
        self._jitter_ns: int = settings["jitter_ns"]
        self._loss: float = settings["loss"]
        self._bursts: Mapping[str, float] | None = settings["burst_loss"]
        self._reorder: float = settings["reorder"]
        self._reorder_extra_ns: int = settings["reorder_extra_ns"]
        self._duplicate: float = settings["duplicate"]
        self._plain = not (self._loss or self._bursts or self._jitter_ns or self._reorder or self._duplicate)
        self._free_ns = 0
        self.seed(seed)

    def seed(self, seed: str) -> None:
        """Begin the dice anew: from here the same frames meet the same fate for the same seed."""
        self._random = Random(seed)
        self._draw = self._random.random
        self._bad = False
        self._last_ns = 0

    def offer(self, length_bytes: int, now_ns: int) -> tuple[int, ...]:
        """When a frame that enters now comes out, in ns: never when it is dropped, twice when duplicated."""
        self.counters.offered += 1
        sent_ns = now_ns
        if self._rate_bps:
            start_ns = self._free_ns if self._free_ns > now_ns else now_ns
            bits = length_bytes * 8 * _SECOND
            if (start_ns - now_ns) * self._rate_bps + bits > self._limit:
                self.counters.queue_dropped += 1
                return ()
            self._free_ns = sent_ns = start_ns + bits // self._rate_bps
        if self._plain:
            return (sent_ns + self._delay_ns,)
        if self._is_lost():
            self.counters.lost += 1
            return ()
        if self._duplicate and self._draw() < self._duplicate:
            self.counters.duplicated += 1
            return (self._arrival_ns(sent_ns), self._arrival_ns(sent_ns))
        return (self._arrival_ns(sent_ns),)

    def _is_lost(self) -> bool:
        bursts = self._bursts
        if bursts is not None:
            if self._draw() < bursts["leave" if self._bad else "enter"]:
                self._bad = not self._bad
            if self._bad and self._draw() < bursts["lost"]:
                return True
        return self._loss > 0 and self._draw() < self._loss

    def _arrival_ns(self, sent_ns: int) -> int:
        arrival_ns = sent_ns + self._delay_ns
        if self._jitter_ns:
            arrival_ns += int((2 * self._draw() - 1) * self._jitter_ns)
        if self._reorder and self._draw() < self._reorder:
            self.counters.reordered += 1
            return arrival_ns + self._reorder_extra_ns
        # Jitter does not reorder: no frame overtakes the one before.
        self._last_ns = max(self._last_ns, arrival_ns)
        return self._last_ns
