"""Notebooks from text to cells, and run: in a kernel without a display, or within this process."""

from __future__ import annotations

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
from analysis.notebooks import PROJECT, names, open_run, present, source

PARAMETERS = "parameters"
"""The tag of the cell that says which results a notebook is about."""
TIME_LIMIT_S = 120

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


class NotebookFailed(AnalysisError):
    """A notebook that raised an error; the message is one line."""


def run_on(results: Path, experiment: str | None = None) -> Iterator[Path]:
    """Run the notebook of one experiment, or of each that has results, on its latest run; yield the .ipynb written.

    Raises UnreadableRun without results or a notebook, and at the end NotebookFailed for those that raised: they are
    written as well, with the error.
    """
    wanted = [experiment] if experiment else present(results)
    if not wanted:
        raise UnreadableRun(f"{results}: no results of an experiment with a notebook; 'run' one first")
    failures = []
    for name in wanted:
        if name not in names():
            raise UnreadableRun(f"{name} has no notebook; analysis/notebooks/__init__.py says how to add one")
        path = files.within(results, "notebooks", f"{name}.ipynb")
        notebook = read(name, open_run(name, results).path)
        try:
            execute(notebook)
        except NotebookFailed as error:
            failures.append(f"{path}: {error}")
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, nbformat.writes(notebook).encode())
        yield path
    if failures:
        raise NotebookFailed("; ".join(failures))


def read(name: str, results: Path | None = None) -> Any:
    """Return the notebook of the experiment `name`, about `results` in place of those kept with the project."""
    notebook = jupytext.reads(source(name).read_text(), fmt="py:percent")
    notebook.metadata["kernelspec"] = _KERNEL
    for cell in notebook.cells:
        if results is not None and PARAMETERS in cell.metadata.get("tags", ()):
            cell.source = f"results = {str(results.resolve())!r}"
    return notebook


def execute(notebook: Any) -> None:
    """Run a notebook's cells in a kernel of their own; their output is then in them.

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
            notebook, kernel, timeout=TIME_LIMIT_S, record_timing=False, resources={"metadata": {"path": directory}}
        )
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "IPYTHONDIR": directory}
        try:
            client.execute(env=environment, cleanup_kc=True)
        except CellExecutionError as error:
            raise NotebookFailed(f"{error.ename}: {' '.join(str(error.evalue).split())}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise NotebookFailed(str(error).splitlines()[0]) from error


def evaluate(notebook: Any) -> None:
    """Run a notebook's cells within this process, and drop what they print."""
    variables: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                exec(cell.source, variables)
