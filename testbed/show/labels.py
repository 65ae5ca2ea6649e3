"""What a link does to packets, in a few words."""

from __future__ import annotations

from typing import Any

from testbed.spec import Impairments, Link
from testbed.spec.schedule import Change
from testbed.units import format_exact, format_rate, format_size

UNSHAPED = "unshaped"


def impairments(asked: Impairments) -> str:
    """One direction: "50 Mbit/s, 10 ms, loss 1 %, queue 100 kB". The queue comes last."""
    words = [_field(name, asked) for name in sorted(asked.asked, key="queue".__eq__)]
    return ", ".join(words) or UNSHAPED


def link(asked: Link) -> str:
    """Both directions of a link, on two lines when they differ, and what changes over time."""
    there, back = (impairments(direction) for direction in asked.directions)
    first, second = (end.host for end in asked.ends)
    lines = [there] if there == back else [f"to {second}: {there}", f"to {first}: {back}"]
    if asked.middleboxes:
        lines.append(f"middleboxes at {first}: {', '.join(box['kind'] for box in asked.middleboxes)}")
    if asked.schedule:
        lines.append(f"{len(asked.schedule)} scheduled change{'s' if len(asked.schedule) > 1 else ''}")
    return "\n".join(lines)


def change(asked: Change) -> str:
    """What happens to a link at some time: "at 4 s over 2 s loss 20 %, rate 1 Mbit/s", "at 6 s down"."""
    words = [f"at {format_exact(asked.at_ns)}"] + ([f"over {format_exact(asked.over_ns)}"] if asked.over_ns else [])
    if asked.direction != "both":
        words.append(f"({asked.direction})")
    if asked.changes is None:
        return " ".join([*words, str(asked.state)])
    named = [
        field.alias or name
        for name, field in Impairments.model_fields.items()
        if name in asked.changes.model_fields_set
    ]
    return " ".join([*words, ", ".join(_field(name, asked.changes) for name in named)])


def _field(name: str, asked: Impairments) -> str:
    match name:
        case "rate":
            return _rate(asked.rate_bps or 0)
        case "trace":
            return f"trace of {format_rate(asked.capacity_bps or 0)}"
        case "delay":
            return format_exact(asked.delay_ns)
        case "jitter":
            return f"jitter {format_exact(asked.jitter_ns)}"
        case "reorder_extra":
            return f"by {format_exact(asked.reorder_extra_ns)}"
        case "queue":
            return f"queue {_queue(asked)}"
        case "burst_loss":
            return f"bursts of loss {_percent(asked.burst_loss.mean if asked.burst_loss else 0)}"
        case _:
            return f"{name} {_percent(getattr(asked, name))}"


def _rate(rate_bps: int) -> str:
    number, unit = format_rate(rate_bps).split()
    return f"{float(number):g} {unit}"


def _queue(asked: Impairments) -> str:
    if asked.queue_bytes is not None:
        return format_size(asked.queue_bytes)
    return f"{asked.queue_packets} packets"


def _percent(value: Any) -> str:
    return f"{100 * value:g} %"
