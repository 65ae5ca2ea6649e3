"""The emulator's process: frames in, frames out when they are due, commands in between.

Standard input: a line with the links (`Wiring.from_json`), then commands, one JSON line each, answered by one line on
standard output: `{"seed": N}` begins the dice of all links anew, `{"counters": true}` asks for the counters. It ends
with its standard input.

A real-time priority keeps it on time beside busy programs; without that right it runs at the normal one and says so.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from select import select
from typing import Any

from testbed.links.emulator.direction import Direction
from testbed.links.emulator.port import GSO_TYPE, HEADER_BYTES, Port

COMMANDS = 0
"""File descriptor of the commands."""

_PR_SET_TIMERSLACK = 29
_PRIORITY = 10
# How long waking up takes: frames go out this much before they are due, so that on average they are on time.
_EARLY_NS = 50_000
_LATE_NS = 1_000_000
# Frames taken from one port before the others and what is due get their turn.
_BATCH_FRAMES = 32


@dataclass(frozen=True, slots=True)
class Wiring:
    """One direction of one link: where its frames come in and go out, and what happens to them in between."""

    link: str
    name: str
    source: Port
    target: Port
    direction: Direction


class Emulator:
    """All links of a lab. `links` as `control` writes them; raises OSError when an interface cannot be opened."""

    def __init__(self, links: list[Mapping[str, Any]], seed: int) -> None:
        self._wirings: list[Wiring] = []
        for link in links:
            ports = [Port(interface) for interface in link["interfaces"]]
            for index, (name, settings) in enumerate(link["directions"].items()):
                direction = Direction(settings, self._seed(seed, link["name"], name))
                self._wirings.append(Wiring(link["name"], name, ports[index], ports[1 - index], direction))
        self._by_descriptor = {wiring.source.fileno(): wiring for wiring in self._wirings}
        self._due: list[tuple[int, int, int, bytes, Direction]] = []
        self._number = 0
        self._commands = b""

    def run(self) -> None:
        """Carry frames and answer commands until there are none any more."""
        descriptors, due, clock = [COMMANDS, *self._by_descriptor], self._due, time.monotonic_ns
        while True:
            wait_s = max(0.0, (due[0][0] - _EARLY_NS - clock()) / 1e9) if due else None
            for descriptor in select(descriptors, (), (), wait_s)[0]:
                if descriptor != COMMANDS:
                    self._take(self._by_descriptor[descriptor])
                elif not self._obey():
                    return
            while due and due[0][0] <= clock() + _EARLY_NS:
                self._deliver()

    def _take(self, wiring: Wiring) -> None:
        """Read what has come in, and note when it will be due."""
        read, offer, clock = wiring.source.read, wiring.direction.offer, time.monotonic_ns
        target, direction, due = wiring.target.fileno(), wiring.direction, self._due
        with suppress(BlockingIOError):
            for _ in range(_BATCH_FRAMES):
                frame = read()
                if frame[GSO_TYPE]:
                    direction.counters.oversized += 1
                    continue
                for due_ns in offer(len(frame) - HEADER_BYTES, clock()):
                    self._number += 1  # of two frames due at once the first goes first
                    heappush(due, (due_ns, self._number, target, frame, direction))

    def _deliver(self) -> None:
        due_ns, _, target, frame, direction = heappop(self._due)
        try:
            os.write(target, frame)
        except OSError:  # the other end's ring is full, or its interface is down
            direction.counters.refused += 1
            return
        counters = direction.counters
        counters.delivered += 1
        counters.delivered_bytes += len(frame) - HEADER_BYTES
        if time.monotonic_ns() - due_ns > _LATE_NS:
            counters.late += 1

    def _obey(self) -> bool:
        """Answer the commands that have come in; False at their end."""
        data = os.read(COMMANDS, 65536)
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if "seed" in command:
                for wiring in self._wirings:
                    wiring.direction.seed(self._seed(command["seed"], wiring.link, wiring.name))
            print(json.dumps(self._counters()), flush=True)
        return bool(data)

    def _counters(self) -> dict[str, dict[str, dict[str, int]]]:
        counters: dict[str, dict[str, dict[str, int]]] = {}
        for wiring in self._wirings:
            numbers = asdict(wiring.direction.counters) | {"overrun": wiring.source.lost_frames()}
            counters.setdefault(wiring.link, {})[wiring.name] = numbers
        return counters

    @staticmethod
    def _seed(seed: int, link: str, direction: str) -> str:
        return f"{seed} {link} {direction}"


def _be_punctual() -> bool:
    """Ask for a real-time priority and exact timers; whether the priority was granted."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    # Everything allocated here is freed by reference counts; a collection would only be a pause.
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except PermissionError:
        return False
    return True


def main() -> None:
    """Read the links from the first line of standard input and run them."""
    # Unbuffered: what follows the first line belongs to the loop.
    first = b""
    while not first.endswith(b"\n"):
        byte = os.read(COMMANDS, 1)
        if not byte:
            return
        first += byte
    order = json.loads(first)
    try:
        emulator = Emulator(order["links"], order["seed"])
    except OSError as error:
        sys.exit(f"cannot open the links' interfaces: {error}")
    print(json.dumps({"real_time": _be_punctual()}), flush=True)
    emulator.run()
