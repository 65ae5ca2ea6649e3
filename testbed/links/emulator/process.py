"""The emulator's process: frames in, frames out when they are due, commands in between.

Standard input: a line with the links (`control` writes it), then commands, one JSON line each, answered by one line on
standard output: `{"seed": N}` puts all links into their first state and begins their dice anew, `{"start": true}`
begins their schedules and traces (answer: the time), `{"middleboxes": [...], "link": NAME}` puts others on a link,
`{"counters": true}` asks for the counters. It ends with its standard input.

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
from collections.abc import Mapping
from dataclasses import asdict
from select import select
from typing import Any

from testbed.links.emulator.agenda import Agenda
from testbed.links.emulator.carrier import set_carrier
from testbed.links.emulator.direction import Direction
from testbed.links.emulator.port import Port
from testbed.links.emulator.segments import HEADER_BYTES, MalformedSegment, is_super_segment, split
from testbed.links.emulator.station import Station
from testbed.middleboxes import BACKWARD, FORWARD

COMMANDS = 0
"""File descriptor of the commands."""

_PR_SET_TIMERSLACK = 29
_PRIORITY = 10
"""Chosen: above all programs without real-time priority, below the kernel's own threads that have one."""
_LATE_NS, _NEVER_NS = 1_000_000, 1 << 62
"""Chosen: a frame that leaves so late is counted as late; a full one takes as long at 12 Mbit/s."""
# Frames taken from one port before the others and what is due get their turn.
_BATCH_FRAMES = 32


class Wiring:
    """One direction of one link: where its frames come in and go out, and what happens to them in between."""

    def __init__(self, link: str, name: str, ports: tuple[Port, Port], direction: Direction, agenda: Agenda) -> None:
        self.link, self.name = link, name
        self.source, self._target = ports
        self.direction = direction
        self._agenda = agenda
        # A link without a rate is as fast as this process: what waits for it is not late.
        self._late_ns = _LATE_NS if direction.is_shaped else _NEVER_NS
        self.station_before: Station | None = None
        self.station_behind: Station | None = None

    def take(self) -> None:
        """Read what has come in and let it enter."""
        read, clock, counters = self.source.read, time.monotonic_ns, self.direction.counters
        is_late = False
        try:
            for number in range(_BATCH_FRAMES):
                frame = read()
                if number == 0:
                    is_late = self.source.waited_ns() > self._late_ns
                counters.late += is_late
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
        """One packet, behind its virtio header, has come."""
        if self.station_before is None or not self.station_before.take(frame, FORWARD, now_ns):
            self.cross(frame, now_ns)

    def cross(self, frame: bytes, now_ns: int) -> None:
        """Have a packet enter the link: note when it will be due at the other end."""
        for due_ns in self.direction.offer(len(frame) - HEADER_BYTES, now_ns):
            self._agenda.note(due_ns, self._arrive, frame)

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

    def _arrive(self, due_ns: int, frame: bytes) -> None:
        if self.station_behind is None or not self.station_behind.take(frame, BACKWARD, due_ns):
            self.deliver(frame, due_ns)

    def deliver(self, frame: bytes, due_ns: int) -> None:
        """Write a packet to the other end."""
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
        if time.monotonic_ns() - due_ns > self._late_ns:
            counters.late += 1


class Emulator:
    """All links of a lab. `links` as `control` writes them; raises OSError when an interface cannot be opened."""

    def __init__(self, links: list[Mapping[str, Any]], seed: int) -> None:
        self._agenda = Agenda()
        self._wirings: list[Wiring] = []
        self._carriers: list[tuple[int, str, bool]] = []
        self._without_carrier: set[str] = set()
        self._stations: dict[str, Station] = {}
        self._dice = seed
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
            self._add_station(link, *self._wirings[-2:])
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
            self._begin_dice(command["seed"])
        if "middleboxes" in command:
            link = command["link"]
            self._stations[link].set_middleboxes(command["middleboxes"], self._seed(self._dice, link, ""))
        if "start" in command:
            self._restore_carriers()
            return self._start(time.monotonic_ns())
        return self._counters()

    def _add_station(self, link: Mapping[str, Any], forward: Wiring, backward: Wiring) -> None:
        station = Station(forward.cross, backward.deliver, link["mtu"], self._agenda)
        forward.station_before = backward.station_behind = self._stations[link["name"]] = station
        station.set_middleboxes(link["middleboxes"], self._seed(self._dice, link["name"], ""))

    def _begin_dice(self, seed: int) -> None:
        self._dice = seed
        for wiring in self._wirings:
            wiring.direction.seed(self._seed(seed, wiring.link, wiring.name))
        for link, station in self._stations.items():
            station.seed(self._seed(seed, link, ""))

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
        for link, station in self._stations.items():
            counters[link] |= station.counters()
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
