"""What `list` and `plan` say of experiments: what they repeat, how long they take, what can be set of them."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbed.cli.options import duration

if TYPE_CHECKING:
    from testbed.experiment import Experiment
    from testbed.runs.runner import Plan

_INDENT = " " * 4


@dataclass(frozen=True)
class About:
    """One experiment in the list. `seconds`: how long all of it takes, by scale."""

    name: str
    title: str
    stacks: tuple[str, ...]
    short_of: str
    scales: tuple[str, ...]
    repeats: str
    needs: tuple[str, ...]
    seconds: Mapping[str, int]


def about(found: type[Experiment[Any]]) -> About:
    """Return what the list says of an experiment."""
    seconds = {scale: expected_seconds(found(table)) for scale, table in found.scales.items()}
    tun = ("TUN",) if any(stack.startswith("python") for stack in found.stacks) else ()
    bond = ("bonding or nft",) if "kernel-bond" in found.stacks else ()
    mptcp = ("kernel MPTCP",) if any(stack.startswith("kernel-mptcp") for stack in found.stacks) else ()
    needs = tuple(dict.fromkeys(("root", *tun, *mptcp, *bond, *found.needs)))
    return About(
        found.name, found.title, tuple(found.stacks), found.short_of, tuple(found.scales), found.repeats, needs, seconds
    )


def expected_seconds(experiment: Experiment[Any]) -> int:
    """Return how long all points of `experiment` take, roughly."""
    return round(sum(experiment.expected_seconds(point) for point in experiment.points(experiment.stacks)))


def print_list(entries: Sequence[About]) -> None:
    """Print a paragraph for each experiment: name and times in columns, then what it is, repeats and needs."""
    width = max(len(one.name) for one in entries)
    scales = list(dict.fromkeys(scale for one in entries for scale in one.seconds))
    print(f"{'':{width}}  {'  '.join(f'{scale:>7}' for scale in scales)}")
    for one in entries:
        times = [duration(one.seconds[scale]) if scale in one.seconds else "" for scale in scales]
        short = f" ({one.short_of} in short, not part of 'all')" if one.short_of else ""
        print(f"{one.name:<{width}}  {'  '.join(f'{time:>7}' for time in times)}")
        for text in (one.title + short, f"repeats: {one.repeats or 'nothing'}", f"needs: {', '.join(one.needs)}"):
            print(filled(text, _INDENT, _INDENT * 2))


def print_parameters(experiment: Experiment[Any]) -> None:
    """Print each parameter with its value, unit and a line of help; then what the user set of the topology's own."""
    from testbed.spec.templates import template_header

    rows = [(f"{name} = {value}", about) for name, (value, about) in parameters(experiment).items()]
    if experiment.template_settings:
        own = template_header(experiment.template).parameters
        rows += [
            (f"{name} = {value}", f"{own[name].help} (of {experiment.template})")
            for name, value in experiment.template_settings.items()
        ]
    width = min(32, max(len(row) for row, _ in rows))
    for row, text in rows:
        print(filled(f"{row:<{width}}  {text}", "  ", " " * (width + 4)))


def parameters(experiment: Experiment[Any]) -> dict[str, tuple[str, str]]:
    """Return the parameters by name: the value as a person writes it, and what it is."""
    fields = type(experiment.parameters).model_fields
    return {name: (value, fields[name].description or "") for name, value in experiment.settings(*fields).items()}


def print_plans(plans: Sequence[Plan]) -> None:
    """Print a line for each plan: its points, those to be measured, and the time; and the sum of all."""
    print(f"{'':<20}  {'scale':<6} {'points':>7} {'to measure':>11} {'in about':>9}")
    totals = [0, 0, 0.0]
    for plan in plans:
        pending = plan.pending()
        seconds = sum(plan.experiment.expected_seconds(point) for point in pending)
        numbers = (len(plan.points), len(pending), seconds)
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        print(_planned(plan.experiment.name, plan.scale, *numbers))
    print(_planned("all", "", *totals))


def _planned(name: str, scale: str, points: float, pending: float, seconds: float) -> str:
    return f"{name:<20}  {scale:<6} {points:>7} {pending:>11} {duration(seconds):>9}"


def filled(text: str, first: str, following: str) -> str:
    """Return `text` as lines of the terminal's width; one line where nobody reads along, so that grep finds it."""
    if not sys.stdout.isatty():
        return first + text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=following,
        break_long_words=False, break_on_hyphens=False, drop_whitespace=True,
    )  # fmt: skip
