"""Many labs in a row, a tenth of them killed in the middle: what do they leave, and how long do they take to start?

`sudo .venv/bin/python -m tests.testbed.test_many_labs 200` prints both; the test does the same with a few labs.
Machine-wide settings that another lab holds at the end count as left.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

import pytest

from testbed.host.sysctls import RUN_DIRECTORY, is_alive
from tests.testbed.lab_run import end, machine_settings, processes_with, start_inside, wait_until

# In turn; the last one takes long, so it comes once in twenty labs only.
TOPOLOGIES = ("two-paths", "wifi-3g", "two-paths-routed")
RARE_TOPOLOGY, RARE_EVERY = "fat-tree", 20
KILLED_EVERY = 10
SEED = 1
LIMIT_S = 10.0
RUNNING_S = 0.15  # of a lab, and of its end

LAB = """
inside.machine.set_sysctl("net.core.rps_sock_flow_entries", "64")
topology = load_topology(sys.argv[1])
began = time.monotonic()
with Lab(topology) as lab:
    up = time.monotonic()
    for host in lab.hosts.values():
        host.popen(["sh", "-c", "setsid sleep 1000 & exec setsid sleep 1000"])
    (inside.scratch / "file").write_text("x")
    say(up - began)
    lab.hosts["client"].run(["ping", "-c", "10", "-i", "0.02", lab.hosts["server"].addresses[0]])
"""


@dataclass
class Outcome:
    """Of labs in a row: start-up times in s by topology, inside and from the command on, and what is left by kind."""

    start_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    command_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    labs: int = 0
    killed: int = 0
    killed_after_start: int = 0
    left: dict[str, list[str]] = field(default_factory=dict)


def state(mark: str, temporary: str) -> dict[str, set[str]]:
    """What a run could leave on this machine, by kind."""
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir()]
    return {
        "processes": {str(pid) for pid in processes_with(mark)},
        "namespaces": namespaces(mark),
        "interfaces": set(os.listdir("/sys/class/net")),
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "sysctls": {f"{name} = {value.strip()}" for name, value in machine_settings().items()},
        "cgroups": set(cgroups),
        "folders": {*os.listdir(temporary), *folders_of_dead_runs()},
    }


def folders_of_dead_runs() -> set[str]:
    return {path.name for path in RUN_DIRECTORY.glob("*-*-*") if not is_alive(path.name)}


def namespaces(mark: str) -> set[str]:
    """Namespaces that live by a process of the runs; what a mount would hold is among the mounts."""
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "pid")}
    found = set()
    for pid in processes_with(mark):
        for kind in ("net", "mnt", "pid"):
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                continue
    return found - own


def left(before: dict[str, set[str]], mark: str, temporary: str) -> dict[str, list[str]]:
    now = state(mark, temporary)
    found = {kind: sorted(now[kind] - before[kind]) for kind in now}
    return {kind: things for kind, things in found.items() if things}


def many_labs(count: int, killed: int, rare_every: int = RARE_EVERY) -> Outcome:
    """Start and end `count` labs, one after the other; `killed` of them end by SIGKILL at any moment of their life."""
    outcome, dice = Outcome(), random.Random(SEED)
    mark = f"LAB_TEST_RUN={uuid.uuid4()}"
    with tempfile.TemporaryDirectory() as temporary:
        environment = os.environ | dict([mark.split("=")]) | {"TMPDIR": temporary}
        before = state(mark, temporary)
        victims = set(dice.sample(range(count), killed))
        for number in range(count):
            topology = TOPOLOGIES[number % len(TOPOLOGIES)] if (number + 1) % rare_every else RARE_TOPOLOGY
            one_lab(topology, environment, outcome, dice if number in victims else None)
        wait_until(lambda: not left(before, mark, temporary), LIMIT_S)
        outcome.left = left(before, mark, temporary)
    return outcome


def one_lab(topology: str, environment: dict[str, str], outcome: Outcome, killer: random.Random | None) -> None:
    """Run one lab and note its times, or kill it at a moment that `killer` chooses: in its start, or when it runs."""
    commands = outcome.command_s[topology]
    began = time.monotonic()
    process = start_inside(LAB, topology, env=environment)
    said = ""
    try:
        assert process.stdout
        if killer and killer.random() < 0.5:
            # Before that Python has hardly begun.
            time.sleep(killer.uniform(0.4, 1.0) * (fmean(commands) if commands else 1.0))
            process.send_signal(signal.SIGKILL)
        said = process.stdout.readline()
        ready = time.monotonic()
        if killer and process.poll() is None:
            time.sleep(killer.uniform(0, RUNNING_S))
            process.send_signal(signal.SIGKILL)
        code = process.wait(60)
    finally:
        end(process)
    outcome.labs += 1
    if code == -signal.SIGKILL:
        outcome.killed += 1
        outcome.killed_after_start += bool(said)
        return
    assert code == 0, f"{topology}: exit code {code}"
    if not killer:
        outcome.start_s[topology].append(json.loads(said))
        commands.append(ready - began)


@pytest.mark.root
def test_nothing_is_left_of_many_labs() -> None:
    outcome = many_labs(6, killed=2, rare_every=100)
    assert outcome.labs == 6
    assert outcome.left == {}


def main() -> None:
    """Print what is left and how long labs took to start."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    began = time.monotonic()
    outcome = many_labs(count, count // 10)
    print(f"{outcome.labs} labs in {time.monotonic() - began:.0f} s,", end=" ")
    print(f"{outcome.killed} of them killed ({outcome.killed_after_start} when their hosts ran)")
    for topology, times in sorted(outcome.start_s.items()):
        command = outcome.command_s[topology]
        print(f"{topology}: start-up {spread(times)} s, from the command on {spread(command)} s, n = {len(times)}")
    for kind in ("processes", "namespaces", "interfaces", "mounts", "sysctls", "cgroups", "folders"):
        print(f"{kind} left: {', '.join(outcome.left.get(kind, [])) or 'none'}")
    sys.exit(bool(outcome.left))


def spread(values: list[float]) -> str:
    """Mean and standard deviation, the range behind them."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return f"{fmean(values):.2f} ± {deviation:.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
