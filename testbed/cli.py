"""The command line. Each command imports what it needs when it runs: help must not wait for pandas."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testbed.errors import LabError

if TYPE_CHECKING:
    from testbed.runner import Plan
    from testbed.spec import Topology

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

HELP = """A Multipath TCP laboratory: real packets, the kernel's stacks beside a Python one, one figure.

Exit codes: 0 done and every check passed; 1 a point or a check failed; 2 wrong input, or a lab that is not as
asked; 3 this machine lacks what was asked for; 130 interrupted (the same command goes on where it stopped).
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name of an experiment, see 'list'.")]
TopologyName = Annotated[str, typer.Argument(metavar="TOPOLOGY", help="Name or file of a topology template.")]
Scale = Annotated[str | None, typer.Option(help="Table of parameters: quick (default) or paper.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a parameter; may be repeated."),
]
Stacks = Annotated[
    str,
    typer.Option(metavar="A,B", help="Stacks under test, joined by commas, in place of the experiment's."),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where results are.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document in place of text.")]

RESULTS = Path("results")


def main() -> None:
    """Run the command line; errors that a user can mend become one line and an exit code."""
    try:
        app(prog_name="lab")
    except LabError as error:
        print(f"lab: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        from testbed.provenance import version

        print(f"mptcp-lab {version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    experiment: Name,
    scale: Scale = None,
    settings: Settings = None,
    stacks: Stacks = "",
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Run an experiment: measure what is missing, then print the table and draw the figure."""
    _run(_plan(experiment, scale, settings, stacks, out), as_json)


@app.command()
def bench(scale: Scale = None, settings: Settings = None, out: Out = RESULTS, as_json: Json = False) -> None:
    """Benchmark the Python stack against the kernel's: bulk transfer over unshaped links."""
    _run(_plan("bulk-veth", scale, settings, "", out), as_json)


@app.command(name="list")
def list_experiments(as_json: Json = False) -> None:
    """List the experiments."""
    from testbed.experiment import experiment_class, experiment_names

    classes = [experiment_class(name) for name in experiment_names()]
    if as_json:
        _print_json([{"name": c.name, "title": c.title, "scales": list(c.scales), "stacks": c.stacks} for c in classes])
        return
    for found in classes:
        print(f"{found.name:<16} {found.title} (scales: {', '.join(found.scales)})")


@app.command()
def plan(
    experiment: Name,
    scale: Scale = None,
    settings: Settings = None,
    stacks: Stacks = "",
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Show what 'run' would measure, the parameters that --set may change, and the expected time."""
    planned = _plan(experiment, scale, settings, stacks, out)
    pending = planned.pending()
    document = {
        "experiment": planned.experiment.name,
        "scale": planned.scale,
        "parameters": planned.experiment.parameters.model_dump(mode="json"),
        "stacks": planned.stacks,
        "directory": str(planned.directory.path),
        "points": len(planned.points),
        "pending": [point.key for point in pending],
        "expected_s": round(sum(planned.experiment.expected_seconds(point) for point in pending)),
    }
    if as_json:
        _print_json(document)
        return
    print(f"{planned.experiment.title}, scale {planned.scale}")
    for key, value in document["parameters"].items():
        print(f"  {key} = {', '.join(map(str, value)) if isinstance(value, list) else value}")
    print(f"stacks: {', '.join(planned.stacks)}")
    print(f"results: {planned.directory.path}")
    print(f"points: {len(planned.points)}, of which {len(pending)} are to be measured,", end=" ")
    print(f"in about {_duration(document['expected_s'])}")


@app.command()
def figures(
    experiment: Annotated[str | None, typer.Argument(metavar="[EXPERIMENT]", help="All when left out.")] = None,
    out: Out = RESULTS,
) -> None:
    """Draw the figures of all runs, or of one experiment's, from their result files; print the paths."""
    from testbed.experiment import experiment_class

    if experiment is not None:
        experiment_class(experiment)
    from analysis.load import UnreadableRun, find_runs

    try:
        runs = find_runs(out, experiment)
    except UnreadableRun as error:
        raise LabError(str(error)) from error
    if not runs:
        raise LabError(f"{out}: no results{f' of {experiment}' if experiment else ''}; 'run' an experiment first")
    for found in runs:
        _print_paths(_draw(found, out))


@app.command()
def calibrate(topology: TopologyName, settings: Settings = None, as_json: Json = False) -> None:
    """Build a topology, measure every link and compare with what was asked for."""
    rendered = _topology(topology, settings)
    from dataclasses import asdict

    from testbed.lab import Lab
    from testbed.namespace import enter

    enter()
    with Lab(rendered) as lab:
        calibrations = lab.calibrate()
    if as_json:
        _print_json([asdict(one) for one in calibrations])
        return
    for one in calibrations:
        print(one)


@app.command()
def shell(topology: TopologyName, settings: Settings = None) -> None:
    """Build a topology and open Mininet's prompt on it."""
    rendered = _topology(topology, settings)
    from testbed.namespace import enter
    from testbed.shell import open_shell

    enter()
    open_shell(rendered)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show what this machine has of what the lab can use."""
    from testbed.doctor import examine

    findings = examine()
    if as_json:
        _print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.name:<22} {finding.state:<8} {finding.use}")
    missing = [finding.name for finding in findings if finding.needed and finding.state == "missing"]
    if missing:
        raise LabError(f"needed and missing: {', '.join(missing)}", exit_code=3)


@app.command()
def interop(
    features: Annotated[str, typer.Option(metavar="A,B", help="Features, joined by commas; all when left out.")] = "",
    family: Annotated[str, typer.Option(metavar="A,B", help="Of v4, v6, v4+v6, v6+v4.")] = "",
    role: Annotated[str, typer.Option(help="Where our stack is: client, server; both when left out.")] = "",
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table to a file, too.")] = None,
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Run our stack against this kernel's MPTCP, feature by feature, in both roles: a table and its evidence."""
    from testbed.interop import run as interop_run
    from testbed.interop import table
    from testbed.namespace import enter
    from testbed.progress import display

    cells = interop_run.select(*(_names(names) for names in (features, family, role)))
    directory = interop_run.new_directory(out)
    enter()
    document = interop_run.run(cells, directory, display())
    if markdown is not None:
        markdown.write_text(table.markdown(document))
    if as_json:
        _print_json(document)
    else:
        from rich.console import Console

        console = Console()
        console.print(table.console_table(document))
        for line in table.reasons(document):
            console.print(line, markup=False, highlight=False)
        print(f"evidence: {directory}")
    raise typer.Exit(interop_run.exit_code(document))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run the project's own checks: lint, types, contracts, tests. More arguments go to pytest."""
    from testbed.checks import run_checks

    raise typer.Exit(run_checks(context.args))


def _plan(experiment: str, scale: str | None, settings: Sequence[str] | None, stacks: str, out: Path) -> Plan:
    """Return the plan that the options ask for. Raises LabError for whatever is wrong with them."""
    from testbed.experiment import experiment_class, resolve
    from testbed.runner import Plan
    from testbed.stacks import create

    found = experiment_class(experiment)
    names = _names(stacks)
    for name in names:
        create(name)
    return Plan(resolve(found, scale, settings or ()), out, scale, list(dict.fromkeys(names)))


def _topology(name: str, settings: Sequence[str] | None) -> Topology:
    from testbed.experiment import parse_settings
    from testbed.topologies import load_topology

    return load_topology(name, parse_settings(settings or ()))


def _run(planned: Plan, as_json: bool) -> None:
    """Measure what is pending, report, and exit with the code of the outcome."""
    pending = planned.pending()
    reused = len(planned.points) - len(pending)
    if reused:
        _note(f"reusing {reused} of {len(planned.points)} points in {planned.directory.path}")
        if commits := planned.other_commits():
            _note(f"some are of other commits ({', '.join(commits)}); move them away to measure again")
    if pending:
        from testbed.namespace import enter

        enter()
    _measure(planned)
    report(planned, as_json)


def _measure(planned: Plan) -> None:
    """Measure what is pending; on Ctrl-C say how far it came, and exit."""
    from testbed.progress import display
    from testbed.runner import Runner

    try:
        Runner(planned, display()).run()
    except KeyboardInterrupt:
        done, points = len(planned.points) - len(planned.pending()), len(planned.points)
        _note(f"interrupted; {done} of {points} points are done, the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def report(planned: Plan, as_json: bool) -> None:
    """Print the results and exit with the code of the outcome."""
    from testbed.results import EXIT_CODES, table_row

    records, outcome = planned.records(), planned.outcome()
    whys = [f"{record['key']}: {record['outcome']}: {why}" for record in records for why in record["why"]]
    from analysis import figures
    from analysis.load import load_run

    found = load_run(planned.directory.path)
    drawn = [] if found.passed.empty else _draw(found, planned.directory.root)
    if as_json:
        document = {
            "experiment": planned.experiment.name,
            "directory": str(planned.directory.path),
            "outcome": outcome,
            "why": whys,
            "points": [table_row(record) for record in records],
            "figures": [str(path) for path in drawn],
        }
        _print_json(document)
    else:
        from rich.console import Console

        console = Console()
        if drawn:
            console.print(figures.table(found))
        for why in whys:
            console.print(why, markup=False, highlight=False)
        print(f"results: {planned.directory.path}")
        _print_paths(drawn)
        print(f"outcome: {outcome}")
    raise typer.Exit(EXIT_CODES[outcome])


def _draw(found: Any, root: Path) -> list[Path]:
    """Draw one run's figure below `root`."""
    from analysis import figures

    return figures.save(found, root / "figures")


def _print_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        print(f"figure: {path}")


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def _note(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr)


def _names(joined: str) -> list[str]:
    """What a user joined by commas."""
    return [name.strip() for name in joined.split(",")] if joined else []


def _duration(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
