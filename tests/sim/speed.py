"""What the stack costs without a system: two stacks back to back, and the simulator; compiled over pure Python.

    python -m tests.sim.speed [REPETITIONS]

Each build runs in a process of its own, by turns, on one core. The table has medians, and the range of the ratios of
pairs. It is processor time; but other work on the machine takes the cache away.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from random import Random

from rich.console import Console

from analysis import tables
from mptcp_stack.build import PURE, running
from mptcp_stack.events import Accepted, Connected, Readable
from mptcp_stack.runtime.aio.process import tune_process
from mptcp_stack.sim import SECOND, LinkSpec, Sink, Source
from mptcp_stack.stack import Address, LocalAddress, Stack, StackConfig
from tests.sim.scenes import PORT, SERVER, client_ip, make_scene, server_ip

TURN_NS = 50_000
"""Virtual time between two turns: what a turn of an event loop takes."""
SUPER_BYTES, PLAIN_BYTES = 65_536, 1400
BULK_BYTES = {SUPER_BYTES: 400 << 20, PLAIN_BYTES: 60 << 20}
CONNECTIONS, ANSWER_BYTES = 1500, 1000
QUIET_TURNS = 6
"""After so many without a packet a connection is over, but for its TIME-WAIT."""
SIMULATED_BYTES = 16 << 20
ONCE = "--once"
LINKS = {"plain": (0, 0.0), "0.1 % lost": (0, 0.001), "coalesced": (1_000_000, 0.0)}
"""By name: the coalescing time of the hosts in ns, and the share of packets lost."""


class Ends:
    """A client and a server with two addresses each, and no network between them."""

    def __init__(self, largest_bytes: int) -> None:
        self.client, self.server = (
            Stack(
                StackConfig(
                    addresses=tuple(LocalAddress(ip(path), 24) for path in (1, 2)), gso_max_bytes=largest_bytes
                ),
                Random(seed),
            )
            for seed, ip in enumerate((client_ip, server_ip))
        )
        self.now = SECOND
        self.server.listen(SERVER, self.now).accepting = True

    def turn(self) -> None:
        """Let time pass, and timers fire."""
        self.now += TURN_NS
        for stack in (self.client, self.server):
            deadline = stack.next_deadline()
            if deadline is not None and deadline <= self.now:
                stack.handle_timers(self.now)


def bulk(largest_bytes: int) -> Iterator[tuple[str, float]]:
    """Microseconds of the sender and of the receiver for each segment of that size, its acknowledgements included."""
    ends = Ends(largest_bytes)
    connection = ends.client.connect(SERVER, ends.now)
    chunk = memoryview(bytes(1 << 18))
    accepted, received, segments = None, 0, 0
    spent = {"send": 0, "receive": 0}
    while received < BULK_BYTES[largest_bytes]:
        ends.turn()
        began = time.thread_time_ns()
        while connection.send(chunk):
            pass
        packets = ends.client.transmit(ends.now)
        spent["send"] += time.thread_time_ns() - began
        segments += sum(packet.length > largest_bytes // 2 for packet in packets)
        packets = [packet.joined() for packet in packets]
        began = time.thread_time_ns()
        ends.server.receive(packets, ends.now)
        while (event := ends.server.next_event()) is not None:
            if isinstance(event, Accepted):
                accepted = event.connection
        if accepted is not None:
            received += sum(map(len, accepted.receive(1 << 30)))
        answers = ends.server.transmit(ends.now)
        spent["receive"] += time.thread_time_ns() - began
        answers = [packet.joined() for packet in answers]
        began = time.thread_time_ns()
        ends.client.receive(answers, ends.now)
        while ends.client.next_event() is not None:
            pass
        spent["send"] += time.thread_time_ns() - began
    for what, spent_ns in spent.items():
        yield f"us to {what} {largest_bytes} B", spent_ns / segments / 1e3


def connections() -> float:
    """Microseconds of both ends for a connection with two subflows and a short answer, one after the other."""
    ends, answer = Ends(SUPER_BYTES), memoryview(bytes(ANSWER_BYTES))
    began = time.thread_time_ns()
    for _ in range(CONNECTIONS):
        ends.client.connect(SERVER, ends.now)
        quiet = 0
        while quiet < QUIET_TURNS:
            ends.turn()
            quiet += 1
            for here, there in ((ends.client, ends.server), (ends.server, ends.client)):
                packets = [packet.joined() for packet in here.transmit(ends.now)]
                if packets:
                    quiet = 0
                there.receive(packets, ends.now)
                while (event := there.next_event()) is not None:
                    if isinstance(event, Connected):
                        event.connection.send(memoryview(b"GET"))
                    elif isinstance(event, Readable):
                        asked = bool(event.connection.receive(1 << 30)) and there is ends.server
                        if asked:
                            event.connection.send(answer)
                        if asked or event.connection.eof:
                            event.connection.close()
    return (time.thread_time_ns() - began) / CONNECTIONS / 1e3


def simulated(coalesce_ns: int, loss: float) -> float:
    """Packets a second of processor time, of a transfer over two paths in the simulator."""
    specs = [
        LinkSpec(rate_bps=50_000_000, delay_ns=5_000_000, loss=loss),
        LinkSpec(rate_bps=20_000_000, delay_ns=20_000_000, loss=loss),
    ]
    scene = make_scene(1, specs, coalesce_ns=coalesce_ns)
    scene.network.tracing = False
    sinks: list[Sink] = []

    def accept() -> Sink:
        sinks.append(Sink())
        return sinks[-1]

    scene.server.listen(Address(b"", PORT), accept)
    scene.client.connect(SERVER, Source(bytes(SIMULATED_BYTES)))
    began = time.process_time()
    scene.network.run_until(lambda: bool(sinks) and sinks[0].closed, 300 * SECOND)
    spent_s = time.process_time() - began
    return sum(link.counters.offered for path in scene.paths for link in path) / spent_s


def measure() -> dict[str, float]:
    """All of it, once, with the build that runs."""
    tune_process()
    found = {}
    for largest_bytes in BULK_BYTES:
        found |= dict(bulk(largest_bytes))
        gc.collect()
    found["us a connection"] = connections()
    gc.collect()
    for name, link in LINKS.items():
        found[f"simulated packets/s, {name}"] = simulated(*link)
    return found


def once(build: str) -> dict[str, float]:
    """As `measure`, in another process with the build of that name."""
    environment = {**os.environ, PURE: "1" if build == "pure" else "0"}
    command = [sys.executable, "-m", __spec__.name, ONCE]
    printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    ran, found = json.loads(printed)
    if ran != build:
        sys.exit(f"the {build} build is not here: ./lab build")
    return dict(found)


def main(repetitions: int = 5) -> None:
    pairs = [(once("pure"), once("compiled")) for _ in range(repetitions)]
    title = f"Two stacks without a system, n = {repetitions}"
    table = tables.table(title, ("what", "pure", "compiled", "x", "of pairs"), ("what",))
    for what in pairs[0][0]:
        is_rate = "packets/s" in what
        pure, compiled = ([pair[number][what] for pair in pairs] for number in (0, 1))
        ratios = sorted(b / a if is_rate else a / b for a, b in zip(pure, compiled, strict=True))
        medians = (f"{statistics.median(numbers):,.{0 if is_rate else 1}f}" for numbers in (pure, compiled))
        table.add_row(what, *medians, f"{statistics.median(ratios):.1f}", f"{ratios[0]:.1f} to {ratios[-1]:.1f}")
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:] == [ONCE]:
        print(json.dumps([running(), measure()]))
    else:
        main(*map(int, sys.argv[1:]))
