"""One module a kind of figure: `draw(run)` returns it, `table(run)` has the same numbers for terminals.

What is drawn alike is in `analysis.panels`, what is written alike in `analysis.tables`. A module's `METRICS` are the
results that it shows, by name: those that `analysis.compare` compares.

A module may have `draw_latencies(run)` as well, which returns the distributions of latencies (`analysis.distributions`)
as a figure of its own, or None where the raw files are missing.

At the foot of each stands on which networks the run was measured, which build of our stack ran, and whether it is
stale; below the axes where the legend is at the foot, as a module's `KEY_AT_FOOT` says.

Factors that an experiment has got since its first runs stand in the module's `FACTORS`: a run without them is refused
with UnreadableRun.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterMathtext, NullFormatter
from rich.table import Table

from analysis import builds, files, networks, panels, style
from analysis.errors import AnalysisError, Unforeseen, UnreadableRun
from analysis.load import Run

_METADATA: Final[Mapping[str, dict[str, Any] | None]] = {
    "png": None,
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}
"""Without the date the same results give the same file."""

_LETTER_WIDTH, _LINE_HEIGHT = 0.58, 1.25
"""Of the letters' size: a mean one's width, on the safe side, and the way from line to line."""
_SHARE_BELOW_AXES: Final = 0.8
"""Of the width, for what is centred below axes."""

GENERAL: Final = "general"
"""The figure of experiments that have none of their own."""

_own: dict[str, ModuleType] = {}
"""By name of an experiment the module of a user's that draws it: what the user named, never what a manifest does."""

_OF_NO_RUN: Final = ("time_sequence",)
"""Modules here that draw something else than a run."""


def table(run: Run) -> Table:
    """Return the table of `run`, by the figure module that its manifest names. Raises UnreadableRun."""
    with _on(run):
        module = _module(run)
        result: Table = (module if hasattr(module, "table") else _general()).table(run)
        result.caption = "\n".join(filter(None, [str(result.caption or ""), *_of_every_run(run)])) or None
    return result


def draw(run: Run) -> Figure:
    """Return the figure of `run`, in the style that was applied last. Raises UnreadableRun."""
    with _on(run):
        figure: Figure = _module(run).draw(run)
        return _with_origin(figure, run)


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of latencies of `run`; None where its figure has none, or no raw file is there.

    Raises UnreadableRun.
    """
    with _on(run):
        drawing: Callable[[Run], Figure | None] | None = getattr(_module(run), "draw_latencies", None)
        figure = drawing(run) if drawing else None
        return figure if figure is None else _with_origin(figure, run)


def _of_every_run(run: Run) -> list[str]:
    """What must stand below every figure and table: networks and build of our stack that ran, whether it is stale."""
    return [text for text in (networks.caption(run), builds.caption(run), run.stale) if text]


def _with_origin(figure: Figure, run: Run) -> Figure:
    _write_out_numbers(figure)
    for text in _of_every_run(run):
        _add_to_caption(figure, text, above_key=getattr(_module(run), "KEY_AT_FOOT", False))
    return figure


def _write_out_numbers(figure: Figure) -> None:
    """Write numbers at logarithmic axes as they are: formulas, which these have by default, are switched off."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
            axis.set_major_formatter("{x:g}")
        if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
            axis.set_minor_formatter(NullFormatter())


def _add_to_caption(figure: Figure, text: str, above_key: bool) -> None:
    """Put a text below what a figure says at its foot, in the same letters, and make the figure taller by it."""
    caption = figure.get_supxlabel()
    foot = next((one for one in figure.texts if caption and one.get_text() == caption), None)
    if foot is None and above_key:
        foot = figure.axes[-1].xaxis.label
        caption = foot.get_text()
        foot.set_fontsize(panels.FOOT_POINTS)
    elif foot is None:
        foot = panels.foot(figure, " ")
    points = float(foot.get_fontsize())
    width = figure.get_figwidth() * 72 * (_SHARE_BELOW_AXES if foot not in figure.texts else 1)
    lines = textwrap.wrap(text, int(width / (_LETTER_WIDTH * points)))
    foot.set_text("\n".join([*filter(None, [caption]), *lines]))
    figure.set_figheight(figure.get_figheight() + len(lines) * _LINE_HEIGHT * points / 72)


def pictures(run: Run, kind: str) -> list[bytes]:
    """Return the figure of `run`, and its latencies' if any, as files of a kind (png, pdf, svg). As `draw`."""
    drawn = draw(run), draw_latencies(run)
    with _on(run):
        return [rendered(figure, kind) for figure in drawn if figure is not None]


def rendered(figure: Figure, kind: str, **options: Any) -> bytes:
    """Return a figure as a file of a kind; the same figure gives the same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata=_METADATA[kind], **options)
    return content.getvalue()


def save(run: Run, directory: Path) -> list[Path]:
    """Draw `run` to PNG and PDF in `directory`; return the paths, those of its latencies last.

    Raises UnreadableRun, ForeignPlace, OSError.
    """
    style.apply()
    drawn = {run.name: draw(run)}
    if latencies := draw_latencies(run):
        drawn[f"{run.name}-latencies"] = latencies
    paths = []
    for name, figure in drawn.items():
        for kind in ("png", "pdf"):
            path = files.within(directory, f"{name}.{kind}")
            directory.mkdir(parents=True, exist_ok=True)
            with _on(run):
                content = rendered(figure, kind)
            files.replace(path, content)
            paths.append(path)
    return paths


def use(experiment: str, module: ModuleType) -> None:
    """Have the user's `module` draw the runs of `experiment`: by its `draw(run)`, and by its `table(run)` if any."""
    _own[experiment] = module


def named(run: Run) -> ModuleType:
    """Return the figure module that a run's manifest names, or the user's own that was given to `use`.

    Raises UnreadableRun for one that is not here.
    """
    name = run.manifest["figure"]
    if name == GENERAL and run.manifest["experiment"] in _own:
        return _own[run.manifest["experiment"]]
    known = [module.name for module in pkgutil.iter_modules(__path__) if module.name not in _OF_NO_RUN]
    if name not in known:
        where = f"{run.path / 'manifest.json'}: figure"
        raise UnreadableRun(f"{where}: unknown figure '{name}'; allowed: {', '.join(known)}")
    return importlib.import_module(f"analysis.figures.{name}")


def _general() -> ModuleType:
    return importlib.import_module(f"analysis.figures.{GENERAL}")


def _module(run: Run) -> ModuleType:
    module = named(run)
    missing = [name for name in getattr(module, "FACTORS", ()) if name not in run.points]
    if missing:
        raise UnreadableRun(f"{run.path}: its points have no {', '.join(missing)}, as they have now; run it again")
    return module


@contextmanager
def _on(run: Run) -> Iterator[None]:
    """Turn what a figure's module cannot do with the points of `run` into Unforeseen, which names the run."""
    token = style.use(run.manifest)
    try:
        yield
    except AnalysisError:
        raise
    except Exception as error:  # whatever text may do in place of a number
        odd = "; ".join(_odd_words(run.points))
        why = odd or f"{type(error).__name__}: {' '.join(str(error).split())}{_place(run, error)}"
        raise Unforeseen(f"{run.path / 'results.csv'}: cannot be drawn as {run.manifest['figure']}: {why}") from error
    finally:
        style.forget(token)


def _place(run: Run, error: Exception) -> str:
    """Return file and line of an error in the user's own figure."""
    file = getattr(_own.get(run.manifest["experiment"]), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({file}:{lines[-1]})" if lines else ""


def _odd_words(points: pd.DataFrame) -> Iterator[str]:
    """Say which words stand among numbers."""
    for name in points.select_dtypes(exclude="number"):
        numbers = pd.to_numeric(points[name], errors="coerce")
        odd = points[numbers.isna() & points[name].notna()]
        if numbers.notna().any() and not odd.empty:
            yield f"{name}: row {odd.index[0] + 1}: {odd[name].iloc[0]!r} is not a number"
