"""The emulator's process: frames in, frames out when they are due, commands in between.

Standard input: a line with the links (`control` writes it), then commands, one JSON line each, answered by one line on
standard output: `{"seed": N}` puts all links into their first state and begins their dice anew, `{"start": true}`
begins their schedules and traces (the answer is the time), `{"counters": true}` asks for the counters. It ends with its
standard input.

A real-time priority keeps it on time beside busy programs; without that right it runs at the normal one and says so.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from heapq import heapify, heappop, heappush
from select import select
from typing import Any

from testbed.links.emulator.carrier import set_carrier
from testbed.links.emulator.direction import Direction
from testbed.links.emulator.port import Port
from testbed.links.emulator.segments import HEADER_BYTES, MalformedSegment, is_super_segment, split

COMMANDS = 0
"""File descriptor of the commands."""

_PR_SET_TIMERSLACK = 29
_PRIORITY = 10
# How long waking up takes: frames go out this much before they are due, so that on average they are on time.
_EARLY_NS = 50_000
_LATE_NS = 1_000_000
# Frames taken from one port before the others and what is due get their turn.
_BATCH_FRAMES = 32

Action = Callable[[int, Any], None]
"""What is done when it is due: is told when that was, and what it is to be done with."""


class Agenda:
    """What is to be done at which time, in that order; of two things due at once the first noted goes first."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Action, Any]] = []
        self._number = 0

    def note(self, due_ns: int, action: Action, subject: Any) -> None:
        """Do `action(due_ns, subject)` at `due_ns`."""
        self._number += 1
        heappush(self._due, (due_ns, self._number, action, subject))

    def forget(self, action: Action) -> None:
        """Do nothing any more of what is noted for `action`."""
        self._due = [entry for entry in self._due if entry[2] != action]
        heapify(self._due)

    def wait_s(self) -> float | None:
        """How long until something is due; None when nothing is noted."""
        return max(0.0, (self._due[0][0] - _EARLY_NS - time.monotonic_ns()) / 1e9) if self._due else None

    def work(self) -> None:
        """Do what is due."""
        clock = time.monotonic_ns
        while self._due and self._due[0][0] <= clock() + _EARLY_NS:
            due_ns, _, action, subject = heappop(self._due)
            action(due_ns, subject)


class Wiring:
    """One direction of one link: where its frames come in and go out, and what happens to them in between."""

    def __init__(self, link: str, name: str, ports: tuple[Port, Port], direction: Direction, agenda: Agenda) -> None:
        self.link, self.name = link, name
        self.source, self._target = ports
        self.direction = direction
        self._agenda = agenda

    def take(self) -> None:
        """Read what has come in and let it enter."""
        read, clock = self.source.read, time.monotonic_ns
        try:
            for _ in range(_BATCH_FRAMES):
                frame = read()
                if is_super_segment(frame):
                    self._enter_split(frame, clock())
                else:
                    self.enter(frame, clock())
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # told once when the interface goes down
                raise

    def enter(self, frame: bytes, now_ns: int) -> None:
        """One packet, behind its virtio header, enters the link: note when it will be due at the other end."""
        for due_ns in self.direction.offer(len(frame) - HEADER_BYTES, now_ns):
            self._agenda.note(due_ns, self._deliver, frame)

    def _enter_split(self, frame: bytes, now_ns: int) -> None:
        counters = self.direction.counters
        try:
            packets = split(frame)
        except MalformedSegment:
            counters.malformed += 1
            return
        counters.split += 1
        for packet in packets:
            self.enter(packet, now_ns)

    def _deliver(self, due_ns: int, frame: bytes) -> None:
        counters = self.direction.counters
        try:
            os.write(self._target.fileno(), frame)
        except OSError as error:
            if error.errno == errno.ENETDOWN:  # its carrier was taken while the frame was on its way
                counters.down += 1
            else:  # the other end's ring is full
                counters.refused += 1
            return
        counters.delivered += 1
        counters.delivered_bytes += len(frame) - HEADER_BYTES
        if time.monotonic_ns() - due_ns > _LATE_NS:
            counters.late += 1


class Emulator:
    """All links of a lab. `links` as `control` writes them; raises OSError when an interface cannot be opened."""

    def __init__(self, links: list[Mapping[str, Any]], seed: int) -> None:
        self._agenda = Agenda()
        self._wirings: list[Wiring] = []
        self._carriers: list[tuple[int, str, bool]] = []
        self._without_carrier: set[str] = set()
        for link in links:
            first, second = (Port(interface) for interface in link["interfaces"])
            self._carriers += map(tuple, link["carriers"])
            for ports, (name, asked) in zip(
                ((first, second), (second, first)), link["directions"].items(), strict=True
            ):
                direction = Direction(
                    asked["settings"], self._seed(seed, link["name"], name), asked["schedule"], asked["trace"]
                )
                self._wirings.append(Wiring(link["name"], name, ports, direction, self._agenda))
        self._by_descriptor = {wiring.source.fileno(): wiring for wiring in self._wirings}
        self._commands = b""

    def run(self) -> None:
        """Carry frames and answer commands until there are none any more."""
        descriptors, agenda = [COMMANDS, *self._by_descriptor], self._agenda
        while True:
            for descriptor in select(descriptors, (), (), agenda.wait_s())[0]:
                if descriptor != COMMANDS:
                    self._by_descriptor[descriptor].take()
                elif not self._obey():
                    return
            agenda.work()

    def _obey(self) -> bool:
        """Answer the commands that have come in; False at their end."""
        data = os.read(COMMANDS, 65536)
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            print(json.dumps(self._answer(json.loads(line))), flush=True)
        return bool(data)

    def _answer(self, command: Mapping[str, Any]) -> Any:
        if "seed" in command:
            self._restore_carriers()
            for wiring in self._wirings:
                wiring.direction.seed(self._seed(command["seed"], wiring.link, wiring.name))
        if "start" in command:
            self._restore_carriers()
            return self._start(time.monotonic_ns())
        return self._counters()

    def _start(self, zero_ns: int) -> int:
        for wiring in self._wirings:
            wiring.direction.start(zero_ns)
        for at_ns, interface, up in self._carriers:
            self._agenda.note(zero_ns + at_ns, self._change_carrier, (interface, up))
        return zero_ns

    def _change_carrier(self, _: int, change: tuple[str, bool]) -> None:
        interface, up = change
        (self._without_carrier.discard if up else self._without_carrier.add)(interface)
        set_carrier(interface, up)

    def _restore_carriers(self) -> None:
        self._agenda.forget(self._change_carrier)
        for interface in list(self._without_carrier):
            set_carrier(interface, True).join()
        self._without_carrier.clear()

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
