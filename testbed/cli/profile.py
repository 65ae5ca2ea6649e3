"""Where the processor's time goes while a row of the benchmark runs: by layer, with perf."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from testbed.cli.experiments import plan_of
from testbed.cli.options import Json, note, print_json
from testbed.errors import LabError, Unsupported

commands = typer.Typer()

_HERTZ = 1999
"""Samples a second and core: no divisor of what timers have."""
_LOOK_S = 0.05
_PROGRAM = re.compile(rb"-m\0testbed\.loadgen\.(?:(server|client)|\w+\0(server|client))\0")
_UNITS = {"Gbit/s": ("received_bytes", 65536, "64 KiB"), "requests/s": ("requests", 1, "request")}
"""By the unit of a row's score: what is counted, how much of it is one, and what that is called."""


@commands.command()
def profile(
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row of 'bench' in Gbit/s or requests/s.")],
    stack: Annotated[str, typer.Option(help="Whose time.")] = "python-mptcp",
    seconds: Annotated[float, typer.Option(metavar="S", help="How long.")] = 3.0,
    as_json: Json = False,
) -> None:
    """Show where the microseconds go, by layer of the stack.

    Of the server and the client, while a row of `bench` runs on a stack; needs perf.
    """
    from testbed.host.namespace import enter

    if shutil.which("perf") is None:
        raise Unsupported("perf is not there: apt-get install linux-perf")
    settings = [f"rows={row}", "repetitions=1", f"seconds={seconds}"]
    with tempfile.TemporaryDirectory() as scratch:
        planned = plan_of("bench", None, settings, stack, "", Path(scratch))
        if len(planned.points) != 1:
            raise LabError(f"profile takes one row of 'bench', and a stack that it has, not {row} of {stack}")
    enter()
    with tempfile.TemporaryDirectory() as scratch:
        planned = plan_of("bench", None, settings, stack, "", Path(scratch))
        data = Path(scratch) / "perf.data"
        with _recording(data), _programs() as programs:
            result = _measured(planned)
        if result["score_unit"] not in _UNITS:
            raise LabError(f"row {row} is in {result['score_unit']}; profile takes those in {' or '.join(_UNITS)}")
        _print(row, stack, data, programs, result, as_json)


def _measured(planned: Any) -> dict[str, Any]:
    """Measure the one point; LabError when it did not pass."""
    from testbed.runs.runner import Runner
    from testbed.show.progress import display

    Runner(planned, display()).run()
    (record,) = planned.records()
    if record.outcome != "passed":
        raise LabError("; ".join(record.why), 1)
    return dict(record.row())


@contextmanager
def _recording(data: Path) -> Iterator[None]:
    """Have perf look at all cores during the block."""
    command = ["perf", "record", "--quiet", "--all-cpus", "--event", "cpu-clock", "--freq", str(_HERTZ), "--output"]
    with subprocess.Popen([*command, str(data)], stderr=subprocess.PIPE, text=True) as perf:
        try:
            yield
        finally:
            perf.send_signal(signal.SIGINT)
            _, said = perf.communicate()
    if not data.exists():
        raise Unsupported(f"perf cannot record here: {' '.join(said.split()) or 'it does not say why'}")


@contextmanager
def _programs() -> Iterator[dict[int, str]]:
    """Note during the block which processes are the load's programs: server and client."""
    found: dict[int, str] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            for process in filter(str.isdigit, os.listdir("/proc")):
                if int(process) not in found and (name := _program(process)):
                    found[int(process)] = name

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _program(process: str) -> str | None:
    try:
        words = Path("/proc", process, "cmdline").read_bytes()
    except OSError:
        return None
    named = _PROGRAM.search(words)
    return (named[1] or named[2]).decode() if named else None


def _print(row: str, stack: str, data: Path, programs: dict[int, str], result: dict[str, Any], as_json: bool) -> None:
    from analysis import profile as layers
    from mptcp_stack.build.unit import STACK
    from testbed.show.console import print_table

    command = ["perf", "script", "--input", str(data), "-F", layers.FIELDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    found = layers.by_layer(layers.samples(done.stdout.splitlines()), programs, layers.Layers(STACK.compiled()))
    if not any(counts.total() for counts in found.values()):
        raise LabError(f"perf saw nothing of server and client: {done.stderr.strip()[-200:]}", 1)
    counted, size, unit = _UNITS[str(result["score_unit"])]
    units, sample_us = result[counted] / size, 1e6 / _HERTZ
    if as_json:
        us = {name: {layer: n * sample_us / units for layer, n in counts.items()} for name, counts in found.items()}
        print_json({"row": row, "stack": stack, "unit": unit, "build": result.get("build"), "us": us})
        return
    note(f"{result['score']:.2f} {result['score_unit']}, start of the programs included, perf beside")
    print_table(layers.table(f"{result['says']}: {stack}", found, sample_us, units, unit))
