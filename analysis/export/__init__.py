"""Runs as a data set that others can use: tables in Parquet and CSV, what is in them, and where they are from.

    FOLDER/
      ro-crate-metadata.json    what each file is, who made it, on which machine, with which command (RO-Crate)
      README.md                 the same for people, with the lines that read it back
      CITATION.cff LICENSE      how to cite it, and what may be done with it
      SHA256SUMS                of every other file; `sha256sum -c SHA256SUMS`
      data/EXPERIMENT/          a folder for each experiment
        points.parquet .csv     a row a point: what was asked, how it ended, every number of its result
        requests.parquet .csv   and what else the points have as tables, a row each with the point that it is of
        *.schema.json           its columns: type, unit and what it is (Frictionless Table Schema)
      runs/EXPERIMENT-HASH/     the manifest of each run, and the user's modules that took part

The same runs give the same bytes. It needs the packages of the extra `data`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analysis.errors import AnalysisError
from analysis.export import crate, tables, texts
from analysis.files import read_text, within
from analysis.load import Run

SUMS: Final = "SHA256SUMS"
_MOST_LETTERS: Final = 100
"""Of the name under which it is made."""
_READABLE: Final = 0o755
"""By all, as a data set is for others."""


class NotExported(AnalysisError):
    """A data set that cannot be made as asked for; the message is one line."""


@dataclass(frozen=True)
class About:
    """What a data set says of itself, in its maker's words. `licence`: an SPDX identifier."""

    title: str
    authors: tuple[str, ...]
    licence: str


def export(runs: Sequence[Run], folder: Path, about: About) -> list[Path]:
    """Write a data set of `runs` to `folder`, which must not be there yet; return its files.

    When it fails nothing is left. Raises NotExported.
    """
    if os.path.lexists(folder):
        raise NotExported(f"{folder}: is there already; a data set is a folder of its own")
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise NotExported(f"{twice}: named twice")
    if not folder.parent.is_dir():
        raise NotExported(f"{folder}: there is no folder {folder.parent} for it to be in")
    if inside := next((run for run in runs if folder.resolve().is_relative_to(run.path.resolve())), None):
        raise NotExported(f"{folder}: is in the run {inside.path}; a data set is a folder of its own")
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name[:_MOST_LETTERS]}.", dir=folder.parent))
    except OSError as error:
        raise NotExported(f"{folder}: {error.strerror}") from error
    try:
        _fill(runs, made, about)
        made.chmod(_READABLE)
        made.rename(folder)
    except OSError as error:
        raise NotExported(f"{folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return _files(folder)


def _fill(runs: Sequence[Run], folder: Path, about: About) -> None:
    described: dict[str, str] = {}
    for experiment in dict.fromkeys(str(run.manifest["experiment"]) for run in runs):
        chosen = [run for run in runs if run.manifest["experiment"] == experiment]
        for name, table in tables.of(chosen).items():
            described |= tables.write(table, folder, Path("data", experiment, name))
    for run in runs:
        described |= _copy(run, folder)
    described |= texts.write(runs, folder, about.title, about.authors, about.licence)
    crate.write(runs, folder, described, about.title, about.authors, about.licence)
    lines = [f"{_sha256(path)}  {path.relative_to(folder)}\n" for path in _files(folder)]
    (folder / SUMS).write_text("".join(lines))


def _copy(run: Run, folder: Path) -> dict[str, str]:
    """Copy what a run says of itself, and the user's modules that it recorded."""
    place = Path("runs", run.name)
    found = {place / "manifest.json": run.path / "manifest.json"}
    own = sorted(path for path in (run.path / "code").rglob("*") if path.is_file())
    found |= {place / path.relative_to(run.path): within(run.path, str(path.relative_to(run.path))) for path in own}
    for to, source in found.items():
        (folder / to).parent.mkdir(parents=True, exist_ok=True)
        (folder / to).write_text(read_text(source))
    words = f"of the run {run.name}"
    return {str(to): f"{'manifest' if to.suffix == '.json' else 'a module of the user'} {words}" for to in found}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
