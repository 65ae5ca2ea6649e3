"""Processor time over time: by thread (`parse`) and by core (`cores`), cumulative.

Raw: `cores` is the beginning of /proc/stat with the ticks of a second; `threads` rows of process, thread, last core,
user and system ticks, ms on a processor, voluntary and involuntary switches, migrations; `processes` the host and
command line of those that are new since the sample before.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.collected.files import Collected

_CORE_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and thread, all counts since the thread began.

    `time_s`, `host` (empty: outside the hosts, as the runner and the links' emulator), `pid`, `thread`, `command`,
    `cpu` (the core it ran on last), `user_s`, `system_s`, `run_s` (exact, where the kernel tells),
    `voluntary_switches`, `involuntary_switches`, `migrations`.
    """
    rows: list[dict[str, Any]] = []
    processes: dict[str, Any] = {}
    ticks = 100.0
    for reading in collected.readings():
        if reading.source == "cores":
            ticks = _ticks(reading.content)
        elif reading.source == "processes":
            processes |= reading.content
        else:
            rows += [{"time_s": reading.time_s} | _thread(row, ticks) for row in reading.content]
    frame = collected.frame(rows)
    unknown = {"host": "", "command": []}
    owners = frame["pid"].map(lambda pid: processes.get(str(pid), unknown))
    frame.insert(1, "host", owners.map(lambda owner: owner["host"]))
    frame.insert(4, "command", owners.map(lambda owner: " ".join(owner["command"])))
    return frame


def cores(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and core of the whole machine: `time_s`, `cpu`, `user_s`, `softirq_s`, `idle_s` ..."""
    rows = []
    for reading in collected.readings():
        if reading.source != "cores":
            continue
        ticks = _ticks(reading.content)
        for line in reading.content.splitlines():
            name, *values = line.split()
            if name.startswith("cpu") and name != "cpu":
                times = {f"{field}_s": int(value) / ticks for field, value in zip(_CORE_FIELDS, values, strict=False)}
                rows.append({"time_s": reading.time_s, "cpu": int(name.removeprefix("cpu")), **times})
    return collected.frame(rows)


def _ticks(text: str) -> float:
    return float(text.split()[-1])


def _thread(row: list[Any], ticks: float) -> dict[str, Any]:
    pid, thread, cpu, user, system, run_ms, voluntary, involuntary, migrations = row
    return {
        "pid": pid,
        "thread": thread,
        "cpu": cpu,
        "user_s": user / ticks,
        "system_s": system / ticks,
        "run_s": None if run_ms is None else run_ms / 1e3,
        "voluntary_switches": voluntary,
        "involuntary_switches": involuntary,
        "migrations": migrations,
    }
