"""What our stack says of itself now and then, as lines of JSON in the form of the lab's sampled collectors."""

from __future__ import annotations

import argparse
import atexit
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mptcp_stack.runtime import EventLoop, Network

KINDS: dict[str, Callable[[Network], Any]] = {
    "connections": lambda network: network.connections(),
    "counters": lambda network: dict(network.counters),
    "flows": lambda network: dict(network.stack.flow_states()),
}
"""What can be sampled: every connection with its subflows, the counters, the number of flows in each state."""


class Order(NamedTuple):
    """`kind` of :data:`KINDS`, the `label` for the lines' `host`, the time between samples, and the file."""

    kind: str
    label: str
    interval_s: float
    file: Path


def order(text: str) -> Order:
    """Read ``KIND,LABEL,SECONDS,FILE``; raises ``ArgumentTypeError``."""
    kind, label, seconds, file, *_ = [*text.split(",", 3), "", "", ""]
    try:
        interval_s = float(seconds)
    except ValueError:
        interval_s = 0.0
    if kind not in KINDS or not 0 < interval_s < float("inf") or not file:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND,LABEL,SECONDS,FILE with a kind of {', '.join(KINDS)}")
    return Order(kind, label, interval_s, Path(file))


def start(loop: EventLoop, order: Order) -> None:
    """Take samples as long as the loop runs, and a last one when the program ends."""
    lines = order.file.open("w", buffering=1)
    describe = KINDS[order.kind]

    def sample() -> None:
        reading = {"time_ns": time.monotonic_ns(), "host": order.label, "source": "stack"}
        lines.write(json.dumps(reading | {"value": describe(loop.network)}) + "\n")

    def go_on() -> None:
        # From the time that it is, not from when it was due: a busy stack is not asked twice in a row.
        loop.call_later(order.interval_s, go_on)
        sample()

    loop.call_soon(go_on)
    atexit.register(sample)
