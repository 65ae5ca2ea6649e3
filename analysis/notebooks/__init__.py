"""A notebook for each experiment: what was reported, what we measure, and why they differ.

`time_wait.py` here is the notebook of the experiment `time-wait`, as text in jupytext's percent format: its diffs can
be read, and it runs as a script too. Notebooks explain and modules compute: numbers, tables and figures come from
`analysis.figures`, and a text that names a measured number takes it from the run.

They run on the results in `results/` here, small ones that are kept with the project, so that each notebook can be
read without a lab; the first lines of a notebook's output say of which machine, code and scale they are.
`./lab notebooks --kept` writes them as .ipynb files, `./lab notebooks` those of the user's own results.

How to add one:

1. Copy a short one, such as `fairness.py`, to the name of your experiment's module. Keep its headings and its cell with
   the tag `parameters`. Say under "What was reported" who measured what and where; under "Why they differ" what follows
   from this lab; under "What to try next" one command that changes one parameter.
2. `sudo ./lab keep my-idea` measures it and keeps a reduced copy here, with those raw files that the notebook reads; of
   captures the segments that signal or end a silence (`tools/thin.py`). It refuses what failed or is too big, and cuts
   out names of places in your file system.
3. `python -m pytest tests/analysis/test_notebooks.py -k my-idea` runs it without a display, as the whole suite does.
   `./lab notebooks my-idea` writes it with its output, to look at.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from IPython.display import Image, Markdown
from matplotlib.figure import Figure

from analysis import figures, origin, style
from analysis.load import Run, UnreadableRun, find_runs, load_run

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
KEPT = HERE / "results"
"""Results that are kept with the project: one directory an experiment."""
MANIFEST, TABLE, RAW = "manifest.json", "results.csv", "raw.zip"
"""What is kept of a run; raw files only where a notebook reads them."""

_SHOWN_DPI = 150


def names() -> list[str]:
    """Return the names of the experiments that have a notebook."""
    return sorted(path.stem.replace("_", "-") for path in HERE.glob("[!_]*.py"))


def source(name: str) -> Path:
    """Return the file of the notebook of the experiment `name`."""
    return HERE / f"{name.replace('-', '_')}.py"


def present(results: Path) -> list[str]:
    """Return the names of the experiments that have a notebook and a run in `results`."""
    found = {run.manifest["experiment"] for run in _runs(results)}
    return [name for name in names() if name in found]


def open_run(experiment: str, results: str | Path | None = None) -> Run:
    """Return the run that a notebook is about.

    `results` is a directory of runs, whose latest run of the experiment is taken, or one run's directory; without it
    the run is the one kept with the project. Raises UnreadableRun when there is none with a point that passed.
    """
    style.apply()
    runs = [_kept(experiment)] if results is None else _runs(Path(results), experiment)
    if not runs:
        raise UnreadableRun(f"{results}: no results of {experiment}; 'run' it first")
    run = runs[-1]
    if run.manifest["experiment"] != experiment or run.passed.empty:
        raise UnreadableRun(f"{run.path}: no point of {experiment} that passed")
    style.use(run.manifest)
    return run


def _runs(results: Path, experiment: str | None = None) -> list[Run]:
    """Return the runs in a directory of runs, the latest last, or the one that the directory is."""
    return [load_run(results)] if (results / MANIFEST).exists() else find_runs(results, experiment)


def about(run: Run) -> Markdown:
    """Return where the results are from, how the points ended, and how they were measured."""
    unfinished = " (the run was not finished)" if run.manifest.get("outcome") == "incomplete" else ""
    facts = {
        "results": "kept with the project" if run.manifest.get("kept") else str(run.path),
        **origin.environment(run),
        "points": f"{origin.outcomes(run)}{unfinished}",
        "again": f"`{origin.command(run)}`",
    }
    texts = [
        "\n".join(["| | |", "|-|-|", *(f"| {name} | {fact} |" for name, fact in facts.items())]),
        "\n".join(f"- {why}" for why in origin.whys(run)),
        run.manifest.get("method", ""),
        run.manifest.get("limits", ""),
    ]
    return Markdown("\n\n".join(text for text in texts if text))


def figure(run: Run) -> Image:
    """Return the figure of `run` as a notebook shows it."""
    return _shown(figures.draw(run))


def latencies(run: Run) -> Image | Markdown:
    """Return the distributions of a run's latencies as a notebook shows them, or a word where its raw files are not."""
    drawn = figures.draw_latencies(run)
    return _shown(drawn) if drawn else Markdown("(The times of single requests are not kept with these results.)")


def _shown(drawn: Figure) -> Image:
    png = figures.rendered(drawn, "png", dpi=_SHOWN_DPI)
    return Image(png, format="png", width=round(drawn.get_figwidth() * _SHOWN_DPI))


class Said(Markdown):
    """Computed sentences, a list item each, as text of the notebook."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__("\n".join(f"- {text}" for text in texts))  # type: ignore[no-untyped-call]
        self.texts = texts


def say(*texts: str) -> Said:
    """Return computed sentences as text of the notebook."""
    return Said(texts)


def kept_runs(experiment: str | None = None) -> list[Run]:
    """Return the runs that are kept with the project, or the one of an experiment. Raises UnreadableRun."""
    return [_kept(name) for name in kept_names() if experiment in (None, name)]


def kept_names() -> list[str]:
    """Return the names of the experiments of which a run is kept with the project."""
    return sorted(path.parent.name for path in KEPT.glob(f"*/{MANIFEST}"))


def _kept(experiment: str) -> Run:
    """Return the kept run; raw files, if any, in a directory that lasts as long as this process."""
    directory = KEPT / experiment
    if not (directory / RAW).exists():
        return load_run(directory)
    unpacked = Path(tempfile.mkdtemp(prefix="mptcp-lab-"))
    atexit.register(shutil.rmtree, unpacked, ignore_errors=True)
    for name in (MANIFEST, TABLE):
        shutil.copy(directory / name, unpacked)
    with zipfile.ZipFile(directory / RAW) as archive:
        archive.extractall(unpacked)
    return load_run(unpacked)
