"""Frames on a stream: a header that numbers and dates each, then known content.

The header is the frame's length in bytes, its number from 0 and when it was due, in ns of the clock that all programs
of a machine share (CLOCK_MONOTONIC), in network order. A frame of length 0 ends a direction; its number says how many
went before. So a receiver knows each frame's delay, and that none is missing.
"""

from __future__ import annotations

import asyncio
import csv
import time
from itertools import pairwise
from pathlib import Path
from random import Random
from struct import Struct
from typing import Any, NamedTuple

from testbed.loadgen import content
from testbed.loadgen.summary import describe_ms
from testbed.loadgen.traffic import Model

_HEADER = Struct("!IIQ")
HEADER_BYTES = _HEADER.size


class Malformed(Exception):
    """What arrived was not what was sent."""


class Received(NamedTuple):
    """One frame as it arrived; times in ns of CLOCK_MONOTONIC."""

    number: int
    size_bytes: int
    due_ns: int
    received_ns: int


class Log:
    """The frames of one direction as their receiver saw them; ``complete``: the sender's end was among them."""

    def __init__(self) -> None:
        self.frames: list[Received] = []
        self.complete = False

    def result(self) -> dict[str, Any]:
        """Return number, delay and the longest time without any frame."""
        arrivals = [frame.received_ns for frame in self.frames]
        gaps = [after - before for before, after in pairwise(arrivals)]
        return {
            "frames": len(self.frames),
            "bytes": sum(frame.size_bytes for frame in self.frames),
            "complete": self.complete,
            "delay_ms": describe_ms([frame.received_ns - frame.due_ns for frame in self.frames]),
            "longest_gap_ms": round(max(gaps, default=0) / 1e6, 3),
        }

    def write(self, path: Path) -> None:
        """Write one CSV row a frame."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Received._fields)
            writer.writerows(self.frames)


def frame_bytes(number: int, size_bytes: int, due_ns: int) -> bytes:
    """Return one frame, header and content."""
    return _HEADER.pack(size_bytes, number, due_ns) + content.chunk(number, size_bytes)


async def send(writer: asyncio.StreamWriter, model: Model, seconds: float, seed: int) -> int:
    """Send frames of ``model`` for so long, then the end; return their number. Raises ``OSError``.

    What is due while the stack takes nothing waits here and goes out late, with the time at which it was due.
    """
    # drain() is to wait until the socket has taken everything: what waits in asyncio would not be seen as delay.
    writer.transport.set_write_buffer_limits(high=0)
    start_ns = due_ns = time.monotonic_ns()
    end_ns = start_ns + round(seconds * 1e9)
    number = 0
    for gap_ns, size_bytes in model.frames(Random(seed)):
        due_ns = due_ns + gap_ns if model.paced else time.monotonic_ns()
        if due_ns >= end_ns:
            break
        await _until(due_ns)
        writer.write(frame_bytes(number, size_bytes, due_ns))
        await writer.drain()
        number += 1
    writer.write(_HEADER.pack(0, number, 0))
    await writer.drain()
    return number


async def _until(due_ns: int) -> None:
    while (wait_ns := due_ns - time.monotonic_ns()) > 0:
        await asyncio.sleep(wait_ns / 1e9)


async def receive(reader: asyncio.StreamReader, log: Log) -> None:
    """Take frames into ``log`` until the sender's end.

    Raises ``asyncio.IncompleteReadError`` when the stream ends before, :class:`Malformed` when a frame is not the next.
    """
    while not log.complete:
        frame = await receive_one(reader, len(log.frames))
        if frame is None:
            log.complete = True
        else:
            log.frames.append(frame)


async def receive_one(reader: asyncio.StreamReader, expected: int) -> Received | None:
    """Take the frame that must have this number; ``None`` for the end. Raises as :func:`receive` does."""
    size_bytes, number, due_ns = _HEADER.unpack(await reader.readexactly(HEADER_BYTES))
    if number != expected or size_bytes > content.CHUNK_BYTES:
        raise Malformed(f"frame {number} of {size_bytes} bytes came where {expected} was expected")
    if not size_bytes:
        return None
    body = await reader.readexactly(size_bytes)
    received_ns = time.monotonic_ns()
    if not content.matches(body, number):
        raise Malformed(f"the content of frame {number} is not what was sent")
    return Received(number, size_bytes, due_ns, received_ns)
