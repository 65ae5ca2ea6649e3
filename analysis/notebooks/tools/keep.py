"""Reduce a run to what its notebook and the documents need, small enough to be kept with the project.

Of the manifest that is what figures and tables, their origin (when, on which machine, of which code) and the links'
calibration need; the table of points is kept whole; of the raw files those that the notebook reads, of captures what
signals and what ends a silence. Names of places in the file system are taken out.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis import distributions, figures, notebooks, origin
from analysis.errors import AnalysisError
from analysis.load import Run
from analysis.notebooks import MANIFEST, PROJECT, RAW, TABLE
from analysis.notebooks.tools.run import evaluate, read
from analysis.notebooks.tools.thin import thinned

LIMIT_BYTES = 400_000
"""What may be kept of one run: twice what the largest has, and all of them together less than a clone notices."""
PLACES = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|mnt|media|srv|opt|var/(?!run)\w+)/[^\s\"',;)]*")
"""Names of places in somebody's file system."""

_COPIED = (
    "format", "experiment", "title", "method", "limits", "figure", "scale", "hash", "stacks", "outcome", "why",
    "code", "networks",
)  # fmt: skip
_COPIED_OF_SESSION = ("began", "ended", "version", "git", "python", "packages")
_COPIED_OF_CALIBRATION = ("link", "direction", "asked_bps", "measured_bps", "delivery", "depth")
_DIGITS = 4
"""Of a latency that is kept: a curve's line is wider than that."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in an archive: the same results give the same archive."""


class NotKept(AnalysisError):
    """A run that cannot be kept; the message is one line."""


def keep(experiment: str, results: Path) -> Run:
    """Keep the latest run of `experiment` in `results` in place of the one that is kept; return the run.

    Raises UnreadableRun, and NotKept when it was not finished or has points that failed, is too big, or has a file that
    is no text and names a place; what is kept then stays.
    """
    if experiment not in notebooks.names():
        raise NotKept(f"{experiment} has no notebook, which says what is to be kept (analysis/notebooks/__init__.py)")
    run = notebooks.open_run(experiment, results)
    if (outcome := run.manifest.get("outcome")) != "passed":
        why = "was not finished" if outcome == "incomplete" else f"has the outcome {outcome!r}; 'run' it again"
        raise NotKept(f"{experiment}: {run.path} {why}")
    latencies = _latencies(run)
    raw = _raw_files_read(experiment, run, latencies)
    directory, fresh = notebooks.KEPT / experiment, notebooks.KEPT / f"{experiment}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        (fresh / MANIFEST).write_text(_without_places(json.dumps(reduced(run.manifest), indent=1), run) + "\n")
        (fresh / TABLE).write_text(_without_places((run.path / TABLE).read_text(), run))
        if raw or latencies:
            with zipfile.ZipFile(fresh / RAW, "w") as archive:
                contents = {str(path.relative_to(run.path.resolve())): _content(path, run) for path in raw}
                if latencies:
                    contents[distributions.KEPT] = latencies
                for name, content in contents.items():
                    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_LZMA)
        check(fresh)
        shutil.rmtree(directory, ignore_errors=True)
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return run


def check(directory: Path) -> None:
    """Raise NotKept when what is kept of a run in `directory` is too big or names places in a file system."""
    experiment = directory.stem
    size = sum(path.stat().st_size for path in directory.iterdir())
    if size > LIMIT_BYTES:
        raise NotKept(f"{experiment}: {size} bytes; at most {LIMIT_BYTES} are kept of a run")
    for name, text in kept_texts(directory):
        if found := PLACES.search(text):
            raise NotKept(f"{experiment}: {name} names a place in a file system: {found.group()}")


def kept_texts(directory: Path) -> Iterator[tuple[str, str]]:
    """Yield every kept file of one run, archived ones too: name and text."""
    for path in sorted(directory.iterdir()):
        if path.name != RAW:
            yield path.name, path.read_text()
            continue
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name, archive.read(name).decode(errors="replace")


def reduced(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a manifest."""
    return {
        **{name: manifest[name] for name in _COPIED if name in manifest},
        "kept": True,
        "specification": {"parameters": manifest["specification"]["parameters"]},
        "sessions": [_session(session) for session in origin.sessions(manifest)],
        "labs": [{"calibration": _calibration(manifest)}],
    }


def _session(session: dict[str, Any]) -> dict[str, Any]:
    kept = {name: session[name] for name in _COPIED_OF_SESSION if name in session}
    kept["command_line"] = ["lab", *_without_output(session.get("command_line", [])[1:])]
    # Release only: what follows may say who built the kernel where.
    kept["kernel"] = " ".join(session.get("kernel", "").split()[:2])
    kept["cpu"] = {name: session.get("cpu", {}).get(name) for name in ("model", "usable")}
    return kept


def _calibration(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The last measurement of each link and direction."""
    return [
        {name: one[name] for name in _COPIED_OF_CALIBRATION if name in one} for one in origin.calibrations(manifest)
    ]


def _without_output(words: list[str]) -> Iterator[str]:
    """Leave out where the results were to go."""
    rest = iter(words)
    for word in rest:
        if word == "--out":
            next(rest, None)
        elif not word.startswith("--out="):
            yield word


def _without_places(text: str, run: Run) -> str:
    """Cut names of places to what they say elsewhere: where in the run or the project, or a file's name."""
    for place in (run.path.resolve(), PROJECT):
        text = text.replace(f"{place}/", "")
    return PLACES.sub(lambda place: place.group().rpartition("/")[2], text)


def _content(path: Path, run: Run) -> bytes:
    """What is kept of a raw file: captures thinned, texts without places, others as they are."""
    if ".pcap" in path.name:
        return thinned(path)
    content = path.read_bytes()
    try:
        return _without_places(content.decode(), run).encode()
    except UnicodeDecodeError:
        return content


def _latencies(run: Run) -> bytes:
    """The run's latencies as they are kept in place of the raw files that they are in: a few hundred a repetition."""
    found = distributions.latencies(run)
    if found.empty or figures.draw_latencies(run) is None:
        return b""
    few = distributions.thinned(found)
    few["latency_ms"] = few["latency_ms"].map(lambda value: float(f"{value:.{_DIGITS}g}"))
    return few.to_csv(index=False).encode()


def _raw_files_read(experiment: str, run: Run, latencies: bytes) -> list[Path]:
    """Run the notebook on the run, but with `latencies` as they are kept; return which of its raw files it opened."""
    root = run.path.resolve()
    with tempfile.TemporaryDirectory(prefix="mptcp-lab-") as place, _opened() as paths:
        for path in root.iterdir():
            (Path(place) / path.name).symlink_to(path)
        if latencies and not (root / distributions.KEPT).exists():
            (Path(place) / distributions.KEPT).write_bytes(latencies)
        evaluate(read(experiment, Path(place)))
        inside = {Path(path).resolve() for path in paths}  # as long as the links are there
    return sorted(path for path in inside if path.is_relative_to(root) and path.name not in (MANIFEST, TABLE))


@contextmanager
def _opened() -> Iterator[list[str]]:
    """Give a list of the names of all files that are opened during the block."""
    paths: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[0], str):
            paths.append(arguments[0])

    sys.addaudithook(watch)  # for good: Python has no way to take it back
    try:
        yield paths
    finally:
        watching = False
