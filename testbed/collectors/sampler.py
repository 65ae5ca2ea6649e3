"""The sampling process: reads the sources of all sampled collectors of all hosts.

Standard input: one line of JSON, the orders. It says ``{"ready": {...}}`` after the first sample of each collector,
goes on until standard input ends, takes a last sample, and says what it did and what that cost. One process and no
program in the hosts: cheap, and out of the load's way.
"""

from __future__ import annotations

import base64
import json
import select
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from testbed.collectors.base import Place, SampledCollector, Source
from testbed.input.plugins import reason


@dataclass
class Sampled:
    """One collector at work. `missed` samples were not taken because an earlier one, or the machine, was too slow."""

    interval_ns: int
    file: TextIO
    sources: Sequence[Source]
    due_ns: int = 0
    samples: int = 0
    missed: int = 0
    cpu_ns: int = 0
    failure: str | None = None

    def sample(self) -> None:
        """Read every source once; what cannot be read ends this collector and no other."""
        began = time.thread_time_ns()
        try:
            for host, name, read in self.sources:
                now_ns = time.monotonic_ns()
                value = read()
                if value is not None:
                    self.file.write(_line(now_ns, host, name, value))
        except Exception as error:  # a mistake in a user's own collector, too
            self.failure = reason(error)
        self.samples += 1
        self.cpu_ns += time.thread_time_ns() - began

    def plan_next(self, now_ns: int) -> None:
        """Set when the next sample is due: on the grid of the interval, whatever was missed."""
        late = (now_ns - self.due_ns) // self.interval_ns
        self.missed += late
        self.due_ns += (late + 1) * self.interval_ns


def _line(time_ns: int, host: str, source: str, value: Any) -> str:
    """Return one line of a raw file."""
    if isinstance(value, str):
        kind = "text"
    elif isinstance(value, bytes):
        kind, value = "base64", base64.b64encode(value).decode()
    else:
        kind = "value"
    return json.dumps({"time_ns": time_ns, "host": host, "source": source, kind: value}) + "\n"


@dataclass(frozen=True)
class Order:
    """One collector to start: its class as `module:Class`, its settings, and the hosts that it watches."""

    collector: str
    settings: dict[str, Any]
    places: list[Place]
    file: str


@dataclass(frozen=True)
class Orders:
    """What the process is to do."""

    directory: str
    orders: list[Order] = field(default_factory=list)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Orders:
        """Read what `to_json` gave."""
        document = json.loads(line)
        orders = [
            Order(**order | {"places": [Place(name, pid, tuple(names)) for name, pid, names in order["places"]]})
            for order in document["orders"]
        ]
        return cls(document["directory"], orders)


def _open(order: Order, directory: Path, resources: ExitStack) -> Sampled | str:
    """Start one collector; return why it cannot be started otherwise."""
    module, _, name = order.collector.partition(":")
    collector: SampledCollector = getattr(import_module(module), name)(order.settings)
    try:
        sources = list(collector.sources(order.places))
    except Exception as error:  # a mistake in a user's own collector, too
        return reason(error)
    file = resources.enter_context((directory / order.file).open("w"))
    return Sampled(collector.settings.interval, file, sources)


def _sample_until_told(running: Sequence[Sampled]) -> None:
    """Take each collector's samples when they are due, until standard input ends."""
    while True:
        alive = [one for one in running if one.failure is None]
        due_ns = min((one.due_ns for one in alive), default=None)
        wait_s = None if due_ns is None else max(0, due_ns - time.monotonic_ns()) / 1e9
        if select.select([sys.stdin], [], [], wait_s)[0]:
            return
        now_ns = time.monotonic_ns()
        for one in alive:
            if one.due_ns <= now_ns:
                one.sample()
                one.plan_next(now_ns)


def main() -> None:
    """Do what standard input says."""
    orders = Orders.from_json(sys.stdin.readline())
    with ExitStack() as resources:
        opened = {order.collector: _open(order, Path(orders.directory), resources) for order in orders.orders}
        running = {name: one for name, one in opened.items() if isinstance(one, Sampled)}
        refused = {name: one for name, one in opened.items() if isinstance(one, str)}
        for one in running.values():
            one.due_ns = time.monotonic_ns()
            one.sample()
            one.plan_next(one.due_ns)
        print(json.dumps({"ready": refused}), flush=True)
        _sample_until_told(list(running.values()))
        for one in running.values():
            if one.failure is None:
                one.sample()
    done = {
        name: {"samples": one.samples, "missed": one.missed, "cpu_s": one.cpu_ns / 1e9, "failure": one.failure}
        for name, one in running.items()
    }
    print(json.dumps({"done": done, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    main()
