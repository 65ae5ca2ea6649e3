"""Commands about experiments: run them, look at what they would do and what they gave."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from testbed.cli.mistakes import tell
from testbed.cli.options import (
    INTERRUPTED,
    RESULTS,
    AnyName,
    Collect,
    Json,
    Kept,
    Name,
    Out,
    Scale,
    Settings,
    Stacks,
    duration,
    names,
    note,
    print_json,
    print_paths,
    source,
)
from testbed.cli.ownership import MADE_OF_RUNS, watch_kept
from testbed.errors import LabError

if TYPE_CHECKING:
    from testbed.experiment import Experiment
    from testbed.runs.code import Code
    from testbed.runs.formats import PointRecord
    from testbed.runs.runner import Plan, Standing

commands = typer.Typer()

Fresh = Annotated[bool, typer.Option("--fresh", help="Measure all anew; what is there is kept beside, as HASH.N.")]
Reuse = Annotated[bool, typer.Option("--reuse", help="Keep stale points, of other code; table and figure say so.")]

_MEANINGS = {0: "passed", 1: "failed", 2: "not as asked", 3: "unsupported here", INTERRUPTED: "interrupted"}
_WORST_FIRST = (INTERRUPTED, 2, 1, 3)


@commands.command()
def run(
    experiment: Name,
    scale: Scale = None,
    settings: Settings = None,
    stacks: Stacks = "",
    collect: Collect = "",
    out: Out = RESULTS,
    fresh: Fresh = False,
    reuse: Reuse = False,
    as_json: Json = False,
) -> None:
    """Run an experiment, or `all` of them.

    Measures what is missing or stale, then prints the table and draws the figure.
    """
    if fresh and reuse:
        raise LabError("--fresh and --reuse: measure all anew, or keep what is of other code; not both")
    if experiment == "all":
        _run_all(scale, settings, stacks, collect, out, fresh, reuse, as_json)
    run_plan(plan_of(experiment, scale, settings, stacks, collect, out, reuse), as_json, fresh)


@commands.command(name="list")
def list_experiments(as_json: Json = False) -> None:
    """List the experiments, with what each repeats.

    And how long it takes at each scale, and what it needs.
    """
    from testbed.cli.describe import about, print_list
    from testbed.experiment import experiment_class, experiment_names

    entries = [about(experiment_class(name)) for name in experiment_names()]
    if as_json:
        print_json([asdict(one) for one in entries])
    else:
        print_list(entries)


@commands.command()
def plan(
    experiment: Name,
    scale: Scale = None,
    settings: Settings = None,
    stacks: Stacks = "",
    collect: Collect = "",
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Show what 'run' would measure, of one or `all`.

    And for how long, and the parameters that --set may change, with their units.
    """
    from testbed.cli.describe import print_parameters, print_plans

    if experiment == "all":
        plans = _plan_all(scale, settings, stacks, collect, out)
        if as_json:
            print_json([_document(one) for one in plans])
        else:
            print_plans(plans)
        return
    planned = plan_of(experiment, scale, settings, stacks, collect, out)
    standing, document = planned.standing(), _document(planned)
    if as_json:
        print_json(document)
        return
    print(f"{planned.experiment.title}, scale {planned.scale}")
    print_parameters(planned.experiment)
    print(f"stacks: {', '.join(planned.stacks)}")
    if planned.builds:
        print(f"builds of our stack: {', '.join(f'{name} {build}' for name, build in planned.builds.items())}")
    if document["collectors"]:
        print(f"collectors: {', '.join(document['collectors'])}")
    print(f"results: {planned.directory.path}")
    counts = (("passed", standing.passed), ("stale", standing.stale), ("new", standing.new))
    print(f"points: {len(planned.points)}: {', '.join(f'{len(keys)} {name}' for name, keys in counts)};", end=" ")
    print(f"{len(document['pending'])} are to be measured, in about {duration(document['expected_s'])}")
    for line in _reasons(standing):
        print(f"stale: {line}")


def _document(planned: Plan) -> dict[str, Any]:
    """Return a plan as JSON values; parameters in base units, and as a person writes them with a line of help."""
    from testbed.cli.describe import parameters

    pending, standing = planned.pending(), planned.standing()
    return {
        "experiment": planned.experiment.name,
        "scale": planned.scale,
        "parameters": planned.experiment.parameters.model_dump(mode="json"),
        "described": {
            name: {"value": value, "help": text} for name, (value, text) in parameters(planned.experiment).items()
        },
        "topology_parameters": dict(planned.experiment.template_settings),
        "stacks": planned.stacks,
        "builds": planned.builds,
        "collectors": [*planned.collect.required, *planned.collect.added],
        "directory": str(planned.directory.path),
        "points": len(planned.points),
        "passed": standing.passed,
        "stale": standing.stale,
        "new": standing.new,
        "pending": [point.key for point in pending],
        "expected_s": round(sum(planned.experiment.expected_seconds(point) for point in pending)),
    }


def _reasons(standing: Standing) -> list[str]:
    """Say what differs between stale points and the code that is here, and for which of them."""
    found: dict[str, list[str]] = {}
    for key, parts in standing.stale.items():
        found.setdefault(", ".join(parts), []).append(key)
    return [f"{parts}: {keys[0]}{f' and {len(keys) - 1} more' if keys[1:] else ''}" for parts, keys in found.items()]


def _plan_all(scale: str | None, settings: Sequence[str] | None, stacks: str, collect: str, out: Path) -> list[Plan]:
    """Return the plans of what `run all` would measure."""
    return [plan_of(name, scale, None, "", collect, out) for name in _all_of("plan", settings, stacks)]


def _all_of(command: str, settings: Sequence[str] | None, stacks: str) -> list[str]:
    """Return the names that `all` stands for: not short forms of others. Raises LabError for options for one alone."""
    from testbed.experiment import experiment_class, experiment_names

    if settings or stacks:
        raise LabError(f"{command} all: --set and --stacks are for one experiment")
    return [name for name in experiment_names() if not experiment_class(name).short_of]


@commands.command()
def figures(
    experiment: AnyName = None,
    kept: Kept = False,
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Draw the figures of all runs, or of one experiment's.

    From their result files; prints the paths.
    """
    if experiment is not None:
        experiment = _class(experiment).name
    runs, place = source(out, kept, experiment)
    print_paths("figure", (path for found in runs for path in _draw(found, place)), as_json)


@commands.command(name="notebooks")
def run_notebooks(
    experiment: AnyName = None,
    kept: Kept = False,
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Run the notebooks on the latest results, as .ipynb.

    Of all experiments, or of one; prints the paths.
    """
    if experiment is not None:
        experiment = _class(experiment).name
    from analysis.notebooks.tools.run import run_on

    print_paths("notebook", run_on(out, experiment, kept=kept), as_json)


@commands.command(name="report")
def write_report(
    own: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPERIMENT]...", help="Your own experiments, whose files have figures of their own."),
    ] = None,
    kept: Kept = False,
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Write one document of all results, as HTML and PDF.

    From the latest run of each experiment.
    """
    for name in own or ():
        _class(name)
    from analysis.files import within
    from analysis.report import build

    runs, place = source(out, kept)
    print_paths("report", build(runs, within(place, "report")), as_json)


@commands.command()
def keep(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Name of an experiment, or 'all'.")],
    scale: Scale = None,
    settings: Settings = None,
    stacks: Stacks = "",
    finished: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Measure nothing: take the latest run there."),
    ] = None,
    out: Out = RESULTS,
    fresh: Fresh = False,
) -> None:
    """Measure an experiment, or `all`, and keep the results.

    They come with the project, in place of those that were.
    Figures and tables of the documents are then written from them. What has passed already, of the same code, is not
    measured again: the same command goes on where it stopped.
    """
    from analysis import notebooks
    from testbed.experiment import experiment_class

    if finished is not None and (scale or settings or stacks or fresh):
        raise LabError("keep --from: measures nothing; --scale, --set, --stacks and --fresh are for a run")
    watch_kept()
    if experiment != "all":
        experiment_class(experiment)
        _keep(experiment, scale, settings, stacks, finished, out, fresh)
        return
    if settings or stacks:
        raise LabError("keep all: --set and --stacks are for one experiment")
    chosen = notebooks.names() if finished is None else notebooks.present(finished)
    if not chosen:
        raise LabError(f"{finished}: no results of an experiment with a notebook")
    _each(chosen, lambda name: _keep(name, scale, None, "", finished, out, fresh))


def _keep(
    name: str,
    scale: str | None,
    settings: Sequence[str] | None,
    stacks: str,
    finished: Path | None,
    out: Path,
    fresh: bool,
) -> None:
    """Keep a run of one experiment, measured now unless it is `finished`, and write the documents."""
    from analysis import documents
    from analysis.notebooks.tools.keep import keep as keep_run

    if finished is None:
        planned = plan_of(name, scale, settings, stacks, "", out)
        if code := _ended(lambda _: run_plan(planned, as_json=False, fresh=fresh), name):
            raise typer.Exit(code)
        finished = planned.directory.path
    print(f"kept: {keep_run(name, finished).path}")
    for path in documents.write():
        print(f"written: {path}")


@commands.command(name="docs")
def write_documents(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say what differs (exit code 1).")] = False,
) -> None:
    """Write tables and figures of documents from kept results."""
    from analysis import documents

    watch_kept()
    if stale := documents.stale():
        note(f"kept results of other code, which 'keep' measures anew: {', '.join(stale)}")
    if not check:
        for path in documents.write():
            print(f"written: {path}")
        return
    differing = documents.differing()
    for path in differing:
        print(f"differs: {path}")
    raise typer.Exit(int(bool(differing)))


@cache
def _code() -> Code:
    """The code as this program found it first: what it has loaded it goes on with."""
    from testbed.runs.code import Code

    return Code()


def _class(name: str) -> type[Experiment[Any]]:
    """Return the class of an experiment; the figure in a user's own file is known from then on. Raises LabError."""
    from testbed.experiment import experiment_class
    from testbed.experiment.own import module_of

    found = experiment_class(name)
    if found.name in MADE_OF_RUNS:
        raise LabError(
            f"{name}: name='{found.name}' is a folder beside the runs; any other than {', '.join(MADE_OF_RUNS)}"
        )
    module = module_of(found)
    if module is not None and hasattr(module, "draw"):
        from analysis import figures

        figures.use(found.name, module)
    return found


def plan_of(
    experiment: str,
    scale: str | None,
    settings: Sequence[str] | None,
    stacks: str,
    collect: str,
    out: Path,
    reuse: bool = False,
) -> Plan:
    """Return the plan that the options ask for. Raises LabError for whatever is wrong with them."""
    from testbed.collectors import expand
    from testbed.experiment import resolve
    from testbed.runs.runner import Plan
    from testbed.stacks import check

    found = _class(experiment)
    chosen = names(stacks)
    for name in chosen:
        if name not in found.stacks:  # what an experiment names itself it may also bring along
            check(name)
    collectors = expand(names(collect))
    resolved = resolve(found, scale, settings or ())
    return Plan(resolved, out, scale, list(dict.fromkeys(chosen)), collectors, reuse, _code())


def run_plan(planned: Plan, as_json: bool, fresh: bool = False) -> None:
    """Measure what is pending, report, and exit with the code of the outcome."""
    if fresh or planned.pending():
        from testbed.host.namespace import enter

        enter()
    if fresh and (beside := planned.directory.set_aside()):
        note(f"what was measured before is in {beside}")
    pending, standing = planned.pending(), planned.standing()
    if reused := len(planned.points) - len(pending):
        note(f"reusing {reused} of {len(planned.points)} points in {planned.directory.path}")
    for line in _reasons(standing):
        note(f"stale, {'reused' if planned.reuse else 'measured anew (--reuse keeps it)'}: {line}")
    _measure(planned)
    report(planned, as_json)


def _run_all(
    scale: str | None,
    settings: Sequence[str] | None,
    stacks: str,
    collect: str,
    out: Path,
    fresh: bool,
    reuse: bool,
    as_json: bool,
) -> NoReturn:
    """Run one experiment after the other, whatever becomes of each; exit with the code of the worst.

    Left out are short forms of others.
    """
    chosen = _all_of("run", settings, stacks)
    _each(chosen, lambda name: run_plan(plan_of(name, scale, None, "", collect, out, reuse), as_json, fresh), as_json)


def _each(chosen: Sequence[str], do: Callable[[str], None], as_json: bool = False) -> NoReturn:
    """Do something with one experiment after the other, whatever becomes of each; exit with the code of the worst.

    `as_json`: what `do` prints is JSON, and becomes part of one document.
    """
    codes: dict[str, int] = {}
    documents = []
    for name in chosen:
        if not as_json:
            print(f"\n=== {name}", flush=True)
        text = io.StringIO()
        # A mistake in one experiment must not cost the others their results.
        with redirect_stdout(text) if as_json else nullcontext():
            codes[name] = _ended(do, name)
        documents += [json.loads(text.getvalue())] if text.getvalue() else []
        if codes[name] == INTERRUPTED:
            break
    ends = {name: _MEANINGS.get(code, f"exit code {code}") for name, code in codes.items()}
    if as_json:
        print_json({"ends": ends, "runs": documents})
    else:
        print()
        for name, end in ends.items():
            print(f"{name:<20} {end}")
    raise typer.Exit(next((code for code in _WORST_FIRST if code in codes.values()), 0))


def _ended(do: Callable[[str], None], name: str) -> int:
    """The exit code of what is done with an experiment."""
    try:
        do(name)
    except typer.Exit as ended:
        return ended.exit_code
    except Exception as error:
        return tell(error)
    return 0


def _measure(planned: Plan) -> None:
    """Measure what is pending; on Ctrl-C say how far it came, and exit."""
    from testbed.runs.runner import Runner
    from testbed.show.progress import display

    try:
        Runner(planned, display()).run()
    except KeyboardInterrupt:
        done, points = len(planned.points) - len(planned.pending()), len(planned.points)
        note(f"interrupted; {done} of {points} points are done, the same command (without --fresh) goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def report(planned: Plan, as_json: bool) -> None:
    """Print the results and exit with the code of the outcome."""
    from testbed.runs.results import EXIT_CODES
    from testbed.show.console import print_table

    records, outcome = planned.records(), planned.outcome()
    whys = [f"{record.key}: {record.outcome}: {why}" for record in records for why in record.why]
    from analysis import figures
    from analysis.load import load_run

    found = load_run(planned.directory.path)
    without = [] if found.passed.empty else _failed_stacks(planned, records)
    drawn = [] if found.passed.empty or without else _draw(found, planned.directory.root)
    if as_json:
        document = {
            "experiment": planned.experiment.name,
            "directory": str(planned.directory.path),
            "outcome": outcome,
            "why": whys,
            "stale": planned.standing().stale,
            "points": [record.row() for record in records],
            "figures": [str(path) for path in drawn],
        }
        print_json(document)
    else:
        if not found.passed.empty:
            print_table(figures.table(found))
        for why in whys:
            print(why)
        print(f"results: {planned.directory.path}")
        print_paths("figure", drawn, as_json)
        if without:
            print(f"no figure: every point of {', '.join(without)} failed ('figures' draws the others)")
        print(f"outcome: {outcome}")
    raise typer.Exit(EXIT_CODES[outcome])


def _failed_stacks(planned: Plan, records: Sequence[PointRecord]) -> list[str]:
    """Return the stacks that were asked for and of which every point failed: what is left compares less than that."""
    outcomes = {stack: {one.outcome for one in records if one.stack == stack} for stack in planned.stacks}
    return [stack for stack, found in outcomes.items() if found == {"failed"}]


def _draw(found: Any, root: Path) -> list[Path]:
    """Draw one run's figure below `root`."""
    from analysis import figures
    from analysis.files import within

    return figures.save(found, within(root, "figures"))
