"""One module a kind of figure: `draw(run)` returns it, `table(run)` has the same numbers for terminals.

Factors that an experiment has got since its first runs stand in the module's `FACTORS`: a run without them is refused
with UnreadableRun.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure
from rich.table import Table

from analysis import style
from analysis.load import Run, UnreadableRun


def table(run: Run) -> Table:
    """Return the table of `run`, by the figure module that its manifest names."""
    result: Table = _module(run).table(run)
    return result


def draw(run: Run) -> Figure:
    """Return the figure of `run`, in the style that was applied last."""
    figure: Figure = _module(run).draw(run)
    return figure


def save(run: Run, directory: Path) -> list[Path]:
    """Draw `run` to PNG and PDF in `directory`; return the paths."""
    style.apply()
    figure = draw(run)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{run.name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        # Without the date the same results give the same file.
        figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    return paths


def _module(run: Run) -> ModuleType:
    module = importlib.import_module(f"analysis.figures.{run.manifest['figure']}")
    missing = [name for name in getattr(module, "FACTORS", ()) if name not in run.points]
    if missing:
        raise UnreadableRun(f"{run.path}: its points have no {', '.join(missing)}, as they have now; run it again")
    return module
