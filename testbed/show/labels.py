"""What a link does to packets, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.spec import Impairments, Link, Topology
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


def network(asked: Topology) -> str:
    """A whole topology in a line: "two-paths: 2 x 50 Mbit/s, queue 100 kB"; links that are alike together."""
    found: dict[str, list[str]] = {}
    for one in asked.links:
        found.setdefault(link(one).replace("\n", ", "), []).append(one.name)
    words = [
        text if len(found) == len(names) == 1 else f"{f'{len(names)} x' if names[1:] else names[0]} {text}"
        for text, names in found.items()
    ]
    return f"{asked.name}: {'; '.join(words)}"


def rates_and_delays(asked: Topology) -> str:
    """What its shaped links carry, and the time that takes, in short: "10/4 Mbit/s, 10/100 ms", "2 x 50 Mbit/s"."""
    ways = [one.directions[0] for one in asked.links]
    ways = [way for way in ways if way.asked] or ways
    rates = [_rate(way.capacity_bps) if way.capacity_bps else UNSHAPED for way in ways]
    delays = [format_exact(way.delay_ns) for way in ways]
    return ", ".join(filter(None, [_each(rates), _each(delays) if any(way.delay_ns for way in ways) else ""]))


def _each(texts: Sequence[str]) -> str:
    if len(set(texts)) == 1:
        return f"{len(texts)} x {texts[0]}" if len(texts) > 1 else texts[0]
    units = {text.partition(" ")[2] for text in texts}
    if len(units) > 1:
        return "/".join(texts)
    return f"{'/'.join(text.partition(' ')[0] for text in texts)} {units.pop()}"


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
