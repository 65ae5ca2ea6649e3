"""What the commands share: options of one name and meaning, ways to print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testbed.cli import completion
from testbed.cli.ownership import watch
from testbed.errors import LabError

if TYPE_CHECKING:
    from analysis.load import Run

Name = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="Name, see 'list'; or your own: ./FILE.py, module:Class.",
        autocompletion=completion.experiments,
    ),
]
AnyName = Annotated[
    str | None,
    typer.Argument(metavar="[EXPERIMENT]", help="All when left out.", autocompletion=completion.experiments),
]
TopologyName = Annotated[
    str,
    typer.Argument(
        metavar="TOPOLOGY", help="Name or file of a topology template.", autocompletion=completion.topologies
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(help="Table of parameters: quick (default) or paper.", autocompletion=completion.scales),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a parameter; may be repeated."),
]
Stacks = Annotated[
    str,
    typer.Option(
        metavar="A,B",
        help="Stacks under test, joined by commas, in place of the experiment's.",
        autocompletion=completion.stacks,
    ),
]
Collect = Annotated[
    str,
    typer.Option(
        metavar="A,B",
        help="Collectors that watch the load, joined by commas, or 'all'; a wrong name lists them.",
        autocompletion=completion.collectors,
    ),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where results are.", callback=watch)]
Kept = Annotated[bool, typer.Option("--kept", help="Of the results that ship with the project, to DIR/kept.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document in place of text.")]

RESULTS = Path("results")
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def source(out: Path, kept: bool, experiment: str | None = None) -> tuple[list[Run], Path]:
    """Return the runs in `out`, or those that ship with the project, and where what is made of them goes.

    Raises LabError when there are none.
    """
    from analysis.files import within
    from analysis.load import find_runs
    from analysis.notebooks import kept_runs

    runs = kept_runs(experiment) if kept else find_runs(out, experiment)
    if not runs:
        place, remedy = ("kept with the project", "keep") if kept else (out, "run")
        raise LabError(
            f"{place}: no results{f' of {experiment}' if experiment else ''}; '{remedy}' an experiment first"
        )
    return runs, within(out, "kept") if kept else out


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, indent=2))


def print_paths(kind: str, paths: Iterable[Path], as_json: bool) -> None:
    """Print where files of one kind were written, each when it is; as JSON when all are."""
    written = []
    for path in paths:
        written.append(str(path))
        if not as_json:
            print(f"{kind}: {path}", flush=True)
    if as_json:
        print_json({f"{kind}s": written})


def note(text: str) -> None:
    """Say something that is not a result."""
    print(f"lab: {text}", file=sys.stderr)


def names(joined: str) -> list[str]:
    """Return what a user joined by commas."""
    return [name.strip() for name in joined.split(",")] if joined else []


def duration(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
