"""What open and closed connections cost one end: memory, objects, processor time, the collector of cycles.

    python -m tests.sim.memory [--json]

Each figure is of both builds, beside its limit. Two stacks without a system, the client in another process, to which
packets go through a pipe: what is measured is a server of which each connection has two subflows.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis import tables
from mptcp_stack.build import PURE, running
from mptcp_stack.events import Connected, Event, Readable
from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.runtime.aio.process import tune_process
from mptcp_stack.sim import SECOND
from mptcp_stack.tcp import Endpoint
from mptcp_stack.wire import Checksum, Packet
from tests.sim.scenes import SERVER
from tests.sim.speed import ANSWER_BYTES, SUPER_BYTES, TURN_NS, Ends

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

    from mptcp_stack.stack import Stack

FEW, MANY = 100, 10_000
"""Open connections between which the memory of one is measured."""
SLICE = 50
"""So many open at a time."""
BESIDE = 10, 10_000
"""Open connections, of ten of which packets are measured."""
ASKED, ROUNDS = 10, 300
FLOWS = 20_000
"""Short connections: as many as ten seconds of a busy server leave in TIME-WAIT."""
LIFE = (Connection, Subflow, Endpoint)
LIMITS = {
    "bytes of an idle connection": 16_000,
    "tracked objects of an idle connection": 85,
    "closed connections left to the collector": 0,
    "bytes of a closed connection in TIME-WAIT": 600,
    "packet with 10000 open, over that with 10": 1.1,
    "collector's share of short connections": 0.03,
}
REQUEST, ANSWER = memoryview(b"GET"), memoryview(bytes(ANSWER_BYTES))

Wire = list[tuple[bytes, int, int]]
"""Packets as bytes, the size of their segments, and the state of their checksum."""


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class End:
    """One of the two stacks with its application. ``connections``: those that are open."""

    def __init__(self, stack: Stack, brief: bool) -> None:
        self.stack = stack
        self.connections: list[Connection] = []
        self._brief = brief
        """Close after an answer."""

    def turn(self, arrived: Wire, asked: range, opened: int, now: int) -> Wire:
        """One turn of an event loop: what leaves then."""
        stack = self.stack
        deadline = stack.next_deadline()
        if deadline is not None and deadline <= now:
            stack.handle_timers(now)
        stack.receive([Packet([data], gso_size=size, checksum=Checksum(state)) for data, size, state in arrived], now)
        for number in asked:
            self.connections[number].send(REQUEST)
        for _ in range(opened):
            self._keep(stack.connect(SERVER, now))
        left = stack.transmit(now)
        while (event := stack.next_event()) is not None:
            self._hear(event)
            left += stack.transmit(now)
        return [(bytes(b"".join(packet.parts)), packet.gso_size, int(packet.checksum)) for packet in left]

    def _keep(self, connection: Connection) -> None:
        if not self._brief:
            self.connections.append(connection)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Connected):
            event.connection.send(REQUEST)
        elif isinstance(event, Readable):
            connection = event.connection
            if connection.receive(1 << 30) and not connection.active:
                connection.send(ANSWER)
                if self._brief:
                    connection.close()
            elif connection.eof:
                connection.close()


def be_client(pipe: Pipe, brief: bool) -> None:
    """The other process: a turn for each of ours."""
    tune_process()
    end = End(Ends(SUPER_BYTES).client, brief)
    while True:
        arrived, asked, opened, now = pipe.recv()
        pipe.send((end.turn(arrived, asked, opened, now), resident_bytes()))


class Pair:
    """Our end, the server, and the other one. ``spent_ns``: our processor time, ``packets``: ours, in and out."""

    def __init__(self, brief: bool) -> None:
        self._ends = Ends(SUPER_BYTES)
        self.server = End(self._ends.server, brief)
        self._pipe, there = multiprocessing.Pipe()
        self._client = multiprocessing.get_context("spawn").Process(target=be_client, args=(there, brief), daemon=True)
        self._client.start()
        self._in_flight: Wire = []
        self.now = SECOND
        self.spent_ns = self.packets = self.client_bytes = 0

    def run(self, opened: int = 0, asked: range = range(0), turns: int = 40) -> None:
        """Open connections and ask on others, and let both ends come to rest."""
        for turn in range(turns):
            self.now += TURN_NS if turn < turns - 1 else SECOND // 20  # so that what was delayed comes
            self._pipe.send((self._in_flight, asked if not turn else range(0), opened if not turn else 0, self.now))
            arrived, self.client_bytes = self._pipe.recv()
            began = time.thread_time_ns()
            self._in_flight = self.server.turn(arrived, range(0), 0, self.now)
            self.spent_ns += time.thread_time_ns() - began
            self.packets += len(arrived) + len(self._in_flight)

    def open(self, count: int) -> None:
        """Have so many connections more."""
        for _ in range(0, count, SLICE):
            self.run(min(SLICE, count), turns=12)

    def stop(self) -> None:
        """End the other process."""
        self._client.terminate()
        self._client.join()


def idle() -> Iterator[tuple[str, float]]:
    """Connections with two subflows that have answered a request and rest."""
    pair = Pair(brief=False)
    tracked = {}
    resident = {}
    packet_us = {}
    for count in sorted({FEW, MANY, *BESIDE}):
        pair.open(count - len(pair.server.stack.connections))
        assert all(len(one.subflows) == 2 for one in pair.server.stack.connections)
        resident[count] = resident_bytes(), pair.client_bytes
        gc.collect()
        tracked[count] = Counter(type(one).__qualname__ for one in gc.get_objects())
        if count in BESIDE:
            packet_us[count] = time_of_packets(pair)
    here, there = ((many - few) / (MANY - FEW) for few, many in zip(resident[FEW], resident[MANY], strict=True))
    yield "bytes of an idle connection", here
    yield "bytes of an idle connection, client", there
    kinds = tracked[MANY] - tracked[FEW]
    yield "tracked objects of an idle connection", kinds.total() / (MANY - FEW)
    print({kind: round(n / (MANY - FEW), 1) for kind, n in kinds.most_common(60) if n > 1000}, file=sys.stderr)
    yield "us a packet with 10 open", packet_us[BESIDE[0]]
    yield "packet with 10000 open, over that with 10", packet_us[BESIDE[1]] / packet_us[BESIDE[0]]
    pair.stop()


def time_of_packets(pair: Pair) -> float:
    """Microseconds of a packet, in or out, of the same ten connections, undisturbed."""
    found = []
    for _ in range(ROUNDS):
        pair.spent_ns = pair.packets = 0
        pair.run(asked=range(ASKED), turns=4)
        found.append(pair.spent_ns / pair.packets / 1e3)
    return sorted(found)[ROUNDS // 4]


def short() -> Iterator[tuple[str, float]]:
    """Connections that answer one request and close, one group after the other."""
    pair = Pair(brief=True)
    collected_ns, began = 0, 0

    def look(phase: str, info: dict[str, int]) -> None:
        nonlocal collected_ns, began
        if phase == "start":
            began = time.thread_time_ns()
        else:
            collected_ns += time.thread_time_ns() - began

    pair.open(FEW)
    before = resident_bytes()
    gc.callbacks.append(look)
    pair.spent_ns = 0
    pair.open(FLOWS)
    gc.callbacks.remove(look)
    yield "us a short connection", pair.spent_ns / FLOWS / 1e3
    yield "collector's share of short connections", collected_ns / pair.spent_ns
    yield "bytes of a closed connection in TIME-WAIT", (resident_bytes() - before) / FLOWS
    print(pair.server.stack.flow_states(), file=sys.stderr)
    gc.collect()
    gc.disable()
    pair.open(100)
    pair.now += 300 * SECOND
    pair.run()
    left = Counter(type(one) for one in gc.get_objects())
    gc.enable()
    yield "closed connections left to the collector", sum(left[kind] for kind in LIFE) / 100
    assert not pair.server.stack.connections
    assert not pair.server.stack.flow_states()
    pair.stop()


def in_another_process(measure: Callable[[], Iterator[tuple[str, float]]], build: str) -> dict[str, float]:
    """What ``measure`` finds with the build of that name."""
    environment = {**os.environ, PURE: "1" if build == "pure" else "0"}
    command = [sys.executable, "-m", "tests.sim.memory", measure.__name__]
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    ran, found = json.loads(printed)
    if ran != build:
        sys.exit(f"the {build} build is not here: ./lab build")
    return dict(found)


MEASURES = {measure.__name__: measure for measure in (idle, short)}


def main() -> None:
    found: dict[str, Any] = {build: {} for build in ("pure", "compiled")}
    for build, figures in found.items():
        for measure in MEASURES.values():
            figures |= in_another_process(measure, build)
    table = tables.table("One end without a system", ("what", *found, "limit"), ("what",))
    for what in found["pure"]:
        limit = LIMITS.get(what)
        values = (f"{one[what]:,.3g}" if one[what] < 100 else f"{one[what]:,.0f}" for one in found.values())
        table.add_row(what, *values, "" if limit is None else f"{limit:g}")
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:]:
        tune_process()
        print(json.dumps([running(), dict(MEASURES[sys.argv[1]]())]))
    else:
        main()
