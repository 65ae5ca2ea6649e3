"""Notebooks from text to cells, and run: in a kernel without a display, or within this process."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from analysis import files
from analysis.errors import AnalysisError, UnreadableRun
from analysis.notebooks import PROJECT, Said, kept_names, names, open_run, present, source

PARAMETERS = "parameters"
"""The tag of the cell that says which results a notebook is about."""
TIME_LIMIT_S = 120

_FIGURE = "notebooks.figure("
"""What a cell begins with that shows the figure, which takes longer than all else."""
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


class NotebookFailed(AnalysisError):
    """A notebook that raised an error; the message is one line."""


def run_on(results: Path, experiment: str | None = None, *, kept: bool = False) -> Iterator[Path]:
    """Run the notebook of one experiment, or of each that has results, on its latest run; yield the .ipynb written.

    It names its run from where it is, so that both can be moved together. `kept`: those on the results that ship with
    the project, which they find wherever they are, written below `results` all the same.
    Raises UnreadableRun without results or a notebook, and at the end NotebookFailed for those that raised: they are
    written as well, with the error.
    """
    wanted = [experiment] if experiment else kept_names() if kept else present(results)
    if not wanted:
        raise UnreadableRun(f"{results}: no results of an experiment with a notebook; 'run' one first")
    failures = []
    for name in wanted:
        if name not in names():
            raise UnreadableRun(f"{name} has no notebook; analysis/notebooks/__init__.py says how to add one")
        path = files.within(results, *(["kept"] if kept else []), "notebooks", f"{name}.ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        there = None if kept else os.path.relpath(open_run(name, results).path.resolve(), path.parent.resolve())
        notebook = read(name, there)
        try:
            execute(notebook, path.parent)
        except NotebookFailed as error:
            failures.append(f"{path}: {error}")
        files.replace(path, nbformat.writes(notebook).encode())
        yield path
    if failures:
        raise NotebookFailed("; ".join(failures))


def read(name: str, results: str | Path | None = None) -> Any:
    """Return the notebook of the experiment `name`, about `results` in place of those kept with the project.

    They are named as given: what is relative is so to where the notebook runs.
    """
    notebook = jupytext.reads(source(name).read_text(), fmt="py:percent")
    notebook.metadata["kernelspec"] = _KERNEL
    for cell in notebook.cells:
        if results is not None and PARAMETERS in cell.metadata.get("tags", ()):
            cell.source = f"results = {str(results)!r}"
    return notebook


def execute(notebook: Any, place: Path) -> None:
    """Run a notebook's cells in a kernel of their own, in the directory `place`; their output is then in them.

    Raises NotebookFailed at the first cell that raises; its traceback is then its output. The kernel is the one beside
    this Python, with no settings of the user's, and nothing of it is left.
    """
    with tempfile.TemporaryDirectory(prefix="mptcp-lab-") as directory:
        kernel = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            # Sockets in a directory of ours, in place of ports that others might reach or take.
            transport="ipc",
            connection_file=f"{directory}/kernel.json",
        )
        client = NotebookClient(
            notebook, kernel, timeout=TIME_LIMIT_S, record_timing=False, resources={"metadata": {"path": str(place)}}
        )
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "IPYTHONDIR": directory}
        try:
            client.execute(env=environment, cleanup_kc=True)
        except CellExecutionError as error:
            raise NotebookFailed(f"{error.ename}: {' '.join(str(error.evalue).split())}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise NotebookFailed(str(error).splitlines()[0]) from error


def evaluate(notebook: Any) -> list[Any]:
    """Run a notebook's cells within this process; return what they show, and drop what they print."""
    variables: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        return [_value(cell.source, variables) for cell in notebook.cells if cell.cell_type == "code"]


def said(name: str) -> list[str]:
    """Return the sentences that the notebook of the experiment `name` computes of the kept results."""
    notebook = read(name)
    notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith(_FIGURE)]
    return [text for shown in evaluate(notebook) if isinstance(shown, Said) for text in shown.texts]


def _value(source: str, variables: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last line when that is an expression, as Jupyter shows it."""
    cell = ast.parse(source)
    last = cell.body[-1] if cell.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(cell, "<cell>", "exec"), variables)
        return None
    exec(compile(ast.Module(cell.body[:-1], []), "<cell>", "exec"), variables)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), variables)
