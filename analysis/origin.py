"""Where a run's results come from, and how its points ended: what must stand beside every figure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis import builds
from analysis.load import Run


def sessions(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sessions that the points of a run are of, in order; all of them where the points do not say."""
    every: list[dict[str, Any]] = manifest["sessions"]
    of_points = {point.get("session") for point in manifest.get("points", {}).values()}
    return [one for number, one in enumerate(every) if number in of_points] or every


def environment(run: Run) -> dict[str, str]:
    """Return when, of which code, on which machine and at which scale the points of the run were measured.

    All of them where there are several: the first and the last day, and each commit and machine.
    """
    measured = sessions(run.manifest)
    build = builds.caption(run).partition(": ")[2]
    days = sorted(str(session.get("began", ""))[:10] for session in measured)
    cpus = [session.get("cpu", {}) for session in measured]
    return {
        "measured": " to ".join(dict.fromkeys((days[0], days[-1]))),
        "commit": _each(_commit(session.get("git", {})) for session in measured),
        "code": run.stale or "as it is here",
        "kernel": _each(str(session.get("kernel", "")) for session in measured),
        "Python": _each(str(session.get("python", "")) for session in measured),
        "processors": _each(f"{len(cpu.get('usable', ()))} x {cpu.get('model', '')}" for cpu in cpus),
        **({"our stack": build} if build else {}),
        "scale": str(run.manifest.get("scale", "")),
    }


def _commit(git: Mapping[str, Any]) -> str:
    return f"{str(git.get('commit'))[:10]}{' with changes' if git.get('dirty') else ''}"


def _each(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def command(run: Run) -> str:
    """Return what makes these results again."""
    name = run.manifest["experiment"]
    given = [list(session.get("command_line", [])[1:]) for session in sessions(run.manifest)]
    scale = run.manifest.get("scale")
    words = ["run", name, *(["--scale", scale] if scale else [])]
    if given[0][:1] in (["run"], ["bench"], ["keep"]) and all(one == given[0] for one in given):
        words = ["run" if given[0][0] == "keep" else given[0][0], *given[0][1:]]  # "keep" runs it with the same options
    elif len(given) > 1:
        words += ["--stacks", ",".join(run.stacks)]
    return f"sudo ./lab {shlex.join(name if word == 'all' else word for word in words)}"


def machine(run: Run) -> str:
    """Return on what the points of the run were measured, in a few words."""
    facts = environment(run)
    kernels = _each(" ".join(kernel.split()[:2]) for kernel in facts["kernel"].split("; "))
    return f"{facts['processors']}, {kernels}"


def calibrations(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the last measurement of each link and direction, for each that was asked of it."""
    labs = manifest.get("labs", ())
    return list({_asked(one): one for lab in labs for one in lab.get("calibration", ())}.values())


def _asked(one: Mapping[str, Any]) -> tuple[Any, ...]:
    delivery, depth = one.get("delivery") or {}, one.get("depth") or {}
    asked = one.get("asked_bps"), delivery.get("asked_ms"), delivery.get("asked_loss"), depth.get("asked_bytes")
    return one["link"], one["direction"], *asked


def outcomes(run: Run) -> str:
    """Return how many points ended how: "28 passed, 2 unsupported"."""
    return ", ".join(f"{count} {outcome}" for outcome, count in run.points["outcome"].value_counts().items())


def whys(run: Run) -> list[str]:
    """Return what was wrong, each thing once, with the points it happened to."""
    found: dict[str, list[str]] = {}
    for why in run.manifest.get("why", ()):
        point, _, reason = why.partition(": ")
        found.setdefault(reason, []).append(point)
    return [f"{reason} ({_named(points)})" for reason, points in found.items()]


def _named(points: Sequence[str]) -> str:
    return points[0] if len(points) == 1 else f"{points[0]} and {len(points) - 1} more"
