"""Commands that look closer at what was measured: one connection's packets, two runs of one experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli.options import RESULTS, Json, Out, note, print_json, print_paths
from testbed.cli.ownership import watch
from testbed.errors import LabError

if TYPE_CHECKING:
    from analysis.load import Run
    from analysis.why import Report

commands = typer.Typer()

_SHOWN = 10
"""Subflows of a connection: where every few packets one is reset, and opened again, there are hundreds."""


@commands.command()
def timesequence(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Capture files of one place (pcap, pcapng), or a point's directory from a run with --collect.",
        ),
    ],
    connection: Annotated[
        str | None, typer.Option(metavar="N|0xTOKEN", help="Which one; by default that with the most bytes.")
    ] = None,
    sender: Annotated[str | None, typer.Option(help="Whose data: client or server; by default who sent more.")] = None,
    collector: Annotated[
        str | None, typer.Option(help="Of a point: pcap or events (our stack's own); by default the first that ran.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Of a point: whose captures; by default the sender's.")] = None,
    begin: Annotated[float, typer.Option("--from", metavar="S", help="Show from this second of the connection.")] = 0,
    end: Annotated[float | None, typer.Option("--until", metavar="S", help="Show until this second.")] = None,
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Draw a connection's sequence numbers over time.

    Those of data and of each subflow, from packets of any MPTCP stack.
    """
    from analysis.errors import foreseen
    from analysis.figures import time_sequence
    from analysis.files import within
    from analysis.sequences import SENDERS, SENT, sources
    from testbed.input.validation import unknown
    from testbed.show.console import print_table

    for option, value, allowed in (("sender", sender, SENDERS), ("collector", collector, sources.COLLECTORS)):
        if value is not None and value not in allowed:
            raise LabError(f"--{option}: {unknown(option, value, allowed)}")
    with foreseen(f"{', '.join(map(str, source))}: cannot be drawn"):
        loaded = sources.load(source, collector, host)
        chosen, sender, neighbours = loaded.choose(connection, sender)
        marks = chosen.marks(sender)
    marks = marks[(marks["time_s"] >= begin) & (marks["time_s"] <= (marks["time_s"].max() if end is None else end))]
    sent = marks[marks["kind"].isin(SENT)].groupby("kind")["length_bytes"].agg(["count", "sum"])
    if sent.empty:
        raise LabError(f"connection {chosen.number}: the {sender} sent no data that are in the source and time")
    for text in chosen.notes:
        note(text)
    name = f"timesequence-{loaded.name}-{chosen.number}-{sender}"
    paths = time_sequence.save(marks, chosen.subflows, within(out, "figures"), name)
    if as_json:
        document = {
            "connections": [time_sequence.row(one) for one in neighbours],
            "connection": chosen.number,
            "sender": sender,
            "sent": {kind: {"segments": int(row["count"]), "bytes": int(row["sum"])} for kind, row in sent.iterrows()},
            "notes": chosen.notes,
            "figures": [str(path) for path in paths],
        }
        print_json(document)
        return
    if len(neighbours) > 1:
        print_table(time_sequence.table(neighbours))
    print(f"connection {chosen.number}, sent by the {sender}:", end=" ")
    print(", ".join(f"{kind} {row['sum']} bytes in {row['count']}" for kind, row in sent.iterrows()))
    print_paths("figure", paths, as_json)


@commands.command()
def why(
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE...]",
            help="Captures (pcap, pcapng) of one side or both, or the directory of a run or of one of its points.",
        ),
    ] = None,
    here: Annotated[
        bool, typer.Option("--here", help="Look at this host in place of packets; changes nothing.")
    ] = False,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="ADDRESS", help="With --here: a peer's address; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say why a subflow is missing, or why a connection is TCP.

    From packets of any MPTCP stack, each answer with the packets that show it; or from the settings, routes and
    counters of this host.
    """
    if here == bool(source):
        raise LabError("why takes captures, or --here for this host")
    if to and not here:
        raise LabError("--to: goes with --here")
    if here:
        _why_here(to or [], as_json)
        return
    assert source is not None
    from analysis.errors import foreseen
    from analysis.sequences import sources
    from analysis.why import explain

    with foreseen(f"{', '.join(map(str, source))}: cannot be explained"):
        if len(source) == 1 and (source[0] / "manifest.json").is_file():
            _why_run(source[0], as_json)
            return
        report = explain(sources.captures(source))
    if as_json:
        print_json(report.document())
    else:
        _print_report(report)


def _why_run(directory: Path, as_json: bool) -> None:
    """Tell of each point of a run what the run said of it, and what its captures say."""
    from analysis.collected import Collected
    from analysis.errors import UnreadableFile
    from analysis.load import load_run
    from analysis.why import explain

    run, documents = load_run(directory), []
    for row in run.points.itertuples():
        point = run.point_directory(row)
        said = row.why if isinstance(row.why, str) else ""
        try:
            captures = Collected.open(point, "pcap").paths
        except UnreadableFile:  # none were taken
            captures = []
        report = explain(captures) if captures else None
        explained = report.document() if report else None
        documents.append({"point": point.name, "outcome": row.outcome, "why": said, "captures": explained})
        if not as_json:
            print(f"{point.name}: {row.outcome}{f': {said}' if said else ''}")
            if report is not None:
                _print_report(report, "  ")
    if as_json:
        print_json(documents)
    elif not any(document["captures"] for document in documents):
        note("there are no captures: with --collect pcap a run has them, and this says more")


def _print_report(report: Report, indent: str = "") -> None:
    for one in report.connections:
        print(f"{indent}connection {one.number}: {one.title}")
        for subflow in one.subflows[:_SHOWN]:
            print(f"{indent}  subflow {subflow}")
        if len(one.subflows) > _SHOWN:
            print(f"{indent}  and {len(one.subflows) - _SHOWN} more")
        for finding in one.findings:
            print(f"{indent}  {'!' if finding.failure else '-'} {finding}")
        if not one.findings:
            print(f"{indent}  nothing failed")
    for finding in report.others:
        print(f"{indent}! {finding}")
    if not report.connections and not report.others:
        print(f"{indent}no TCP connection whose beginning is there")
    for text in report.notes:
        note(text)


def _why_here(destinations: list[str], as_json: bool) -> None:
    from ipaddress import ip_address

    from analysis.why import host
    from testbed.cli import here

    for text in destinations:
        try:
            ip_address(text)
        except ValueError as error:
            raise LabError(f"--to: '{text}' is no IP address") from error
    lines = host.look(here.state(destinations))
    if as_json:
        print_json([line._asdict() for line in lines])
        return
    for line in lines:
        print(line)


@commands.command()
def export(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories; of a directory of results the latest run of each."),
    ],
    to: Annotated[
        Path,
        typer.Option("--to", metavar="FOLDER", help="The data set: a folder that is not there yet.", callback=watch),
    ],
    author: Annotated[list[str], typer.Option(metavar="NAME", help="Who made these data; may be repeated.")],
    title: Annotated[str, typer.Option(help="What it is called; by default by its experiments.")] = "",
    licence: Annotated[str, typer.Option(metavar="SPDX", help="What may be done with it.")] = "CC-BY-4.0",
    as_json: Json = False,
) -> None:
    """Make a data set of runs that others can use.

    Tables in Parquet and CSV with their schemas, checksums, licence, citation and RO-Crate metadata.
    """
    from analysis.errors import foreseen
    from analysis.export import About, export
    from analysis.export.texts import LICENCES
    from testbed.input.validation import unknown

    if licence not in LICENCES:
        raise LabError(f"--licence: {unknown('licence', licence, LICENCES)}")
    for option, words in (("author", author), ("title", [title] if title else [])):
        if wrong := [word for word in words if not word.strip() or not word.isprintable()]:
            raise LabError(f"--{option}: must be a line that can be read, not {wrong[0]!r}")
    chosen = [run for path in runs for run in _runs_of(path)]
    names = ", ".join(dict.fromkeys(str(run.manifest["experiment"]) for run in chosen))
    about = About(title or f"Multipath TCP: {names}", tuple(author), licence)
    with foreseen(f"{', '.join(map(str, runs))}: cannot be exported"):
        print_paths("file", export(chosen, to, about), as_json)


def _runs_of(path: Path) -> list[Run]:
    """Return the run of a directory, or the latest of each experiment in one of results."""
    from analysis.load import find_runs, load_run

    if (path / "manifest.json").is_file():
        return [load_run(path)]
    latest = {run.manifest["experiment"]: run for run in find_runs(path)}
    found = list(latest.values()) or [load_run(one.parent) for one in sorted(path.glob("*/manifest.json"))]
    if not found:
        raise LabError(f"{path}: is no run (results/EXPERIMENT/HASH) and has none in it")
    return found


@commands.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run directory: results/EXPERIMENT/HASH.")],
    second: Annotated[
        Path, typer.Argument(metavar="RUN_B", help="Another one, or the --out of another 'run' with the same options.")
    ],
    within: Annotated[
        str, typer.Option(metavar="SHARE", help="What counts as the same: a share of the first run's mean.")
    ] = "5%",
    across_builds: Annotated[
        bool,
        typer.Option("--across-builds", help="Also where our stack was compiled in one and pure Python in the other."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Say whether a run repeats another (1: no, 3: none can tell).

    The two are of one experiment, and compared point by point.
    Run it again into another place with `./lab run EXPERIMENT --out DIR`.
    """
    from analysis import compare as comparison
    from analysis.errors import foreseen
    from analysis.load import load_run
    from testbed.show.console import print_table

    margin = _share(within)
    a = load_run(first)
    same = second / a.manifest["experiment"] / a.manifest["hash"]
    b = load_run(same if same.is_dir() else second)
    with foreseen(f"{a.path}, {b.path}: cannot be compared"):
        frame = comparison.compare(a, b, margin, across_builds)
    counts = {str(name): int(count) for name, count in frame["verdict"].value_counts().items()}
    outcome = comparison.outcome(frame)
    if as_json:
        rows = json.loads(frame.to_json(orient="records", double_precision=15))
        print_json({"outcome": outcome, "within": margin, "counts": counts, "rows": rows})
    else:
        print_table(comparison.table(frame, a.manifest["title"]))
        for name, found in (("A", a), ("B", b)):
            print(f"{name}: {comparison.told(found)}")
        for verdict, count in counts.items():
            print(f"{count} {verdict}: {comparison.MEANINGS[verdict]}")
        print(f"outcome: {outcome} (within {100 * margin:g}%)")
    raise typer.Exit({comparison.REPEATED: 0, comparison.DIFFERS: 1, comparison.CANNOT_TELL: 3}[outcome])


def _share(text: str) -> float:
    """Return "5%" or "0.05" as a number. LabError for what is no share above 0."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise LabError(f"--within: {text!r} is no share; allowed: above 0 and below 100%, as in 5% or 0.05")
    return share
