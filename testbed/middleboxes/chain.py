"""The middleboxes of one link, one after the other: frames in, frames out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from random import Random
from typing import Any

from testbed.middleboxes import FORWARD
from testbed.middleboxes.base import Middlebox
from testbed.middleboxes.packet import Traffic, parse

Frames = list[tuple[int, bytes]]
"""Frames that leave the middleboxes, each with its direction: forward onto the link, backward to its first end."""


class Chain:
    """Middleboxes by name, in the order in which a packet from the link's first end meets them."""

    def __init__(self, boxes: Sequence[tuple[str, Middlebox[Any]]]) -> None:
        self._names = [f"middlebox {number} ({name})" for number, (name, _) in enumerate(boxes, 1)]
        self._boxes = [box for _, box in boxes]

    def seed(self, seed: str) -> None:
        """Begin the dice of all middleboxes anew."""
        for name, box in zip(self._names, self._boxes, strict=True):
            box.random = Random(f"{seed} {name}")

    @property
    def deadline_ns(self) -> int | None:
        """When `expire` must be called; None while no middlebox waits for anything."""
        return min((box.deadline_ns for box in self._boxes if box.deadline_ns is not None), default=None)

    def take(self, frame: bytes, direction: int, now_ns: int) -> Frames:
        """Return what comes out after a frame (with its offload header) has come from either side."""
        frames: Frames = []
        self._carry(0 if direction == FORWARD else len(self._boxes) - 1, parse(frame), direction, now_ns, frames)
        return frames

    def expire(self, now_ns: int) -> Frames:
        """Return what comes out of the middleboxes whose deadline is reached."""
        frames: Frames = []
        for place, box in enumerate(self._boxes):
            if box.deadline_ns is not None and box.deadline_ns <= now_ns:
                for direction, traffic in box.expire(now_ns):
                    self._carry(_next(place, direction), traffic, direction, now_ns, frames)
        return frames

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the counters of each middlebox by its number and name."""
        return {name: asdict(box.counters) for name, box in zip(self._names, self._boxes, strict=True)}

    def _carry(self, place: int, traffic: Traffic, direction: int, now_ns: int, frames: Frames) -> None:
        """Carry a packet through the middleboxes from `place` on until it leaves them; depth first keeps the order."""
        if not 0 <= place < len(self._boxes):
            frames.append((direction, traffic.encode()))
            return
        for way, one in self._boxes[place].take(traffic, direction, now_ns):
            self._carry(_next(place, way), one, way, now_ns, frames)


def _next(place: int, direction: int) -> int:
    return place + 1 if direction == FORWARD else place - 1
