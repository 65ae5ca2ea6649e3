"""The benchmark: our stack beside its peers, and against what was measured before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.experiments import Fresh, plan_of, run_plan
from testbed.cli.options import RESULTS, Json, Out, Scale, Settings, note
from testbed.errors import LabError

if TYPE_CHECKING:
    from analysis.figures.bench import Line

commands = typer.Typer()

Rows = Annotated[
    str, typer.Option(metavar="A,B", help="Rows, joined by commas, in place of all; a wrong name lists them.")
]
Against = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What --json printed before: say what got slower beyond noise, and exit with 1."),
]


@commands.command()
def bench(
    rows: Rows = "",
    against: Against = None,
    scale: Scale = None,
    settings: Settings = None,
    out: Out = RESULTS,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Benchmark the Python stack beside the kernel's.

    Bulk, requests, connections, round trips; each beside its peer in the same run, by turns, on a quiet machine.
    """
    before = None if against is None else _lines(against)
    chosen = [*(settings or ()), *([f"rows={rows}"] if rows else ())]
    planned = plan_of("bench", scale, chosen, "", "", out)
    try:
        run_plan(planned, as_json, fresh)
    except typer.Exit as ended:
        if ended.exit_code or before is None:
            raise
        raise typer.Exit(_compare(before, planned.directory.path)) from None


def _lines(file: Path) -> list[Line]:
    """Return the lines of the points that passed of a document that `bench --json` printed. LabError if it is none."""
    import pandas as pd

    from analysis.figures.bench import summary

    try:
        document = json.loads(file.read_text())
        points = pd.DataFrame(document["points"])
        return summary(points[points["outcome"] == "passed"])
    except OSError as error:
        raise LabError(f"--against {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LabError(f"--against {file}: not what 'bench --json' prints") from None


def _compare(before: Sequence[Line], directory: Path) -> int:
    """Say what got slower; the exit code."""
    from analysis.figures.bench import slower, summary
    from analysis.load import load_run

    now = summary(load_run(directory).passed)
    common = {line[:2] for line in before} & {line[:2] for line in now}
    if not common:
        raise LabError("--against: no row in common")
    found = slower(before, now)
    for line in found:
        note(f"slower: {line}")
    note(f"{len(found)} of {len(common)} rows got slower beyond noise")
    return 1 if found else 0
