"""The figure and table of TIME-WAIT, from real samples of sockets."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from analysis import figures
from analysis.figures.time_wait import over_time
from analysis.load import Run, UnreadableRun, load_run
from tests.analysis.test_analysis import write_run
from tests.analysis.test_collected import KERNEL, OURS

STACKS = {"kernel-mptcp": KERNEL, "python-mptcp+passive_close=off": OURS}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    rows = [
        {"stack": stack, "closes_first": first, "repetition": 1, "outcome": "passed", "why": "",
         "subflows": 1500, "client_time_wait": client, "server_time_wait": 1500 - client}
        for stack in STACKS
        for first, client in (("server", 4), ("client", 1500))
    ]  # fmt: skip
    path = write_run(tmp_path, "time-wait", "time_wait", {"requests": 1000}, rows, stacks=list(STACKS))
    for row in rows:
        point = path / "points" / f"{row['stack']}.closes_first-{row['closes_first']}.r1"
        shutil.copytree(STACKS[str(row["stack"])] / "collected", point / "collected")
    return load_run(path)


def test_counts_over_time_are_those_of_the_end_that_closes_second(run: Run) -> None:
    """In the samples the server closes first, and is left with both subflows of one connection."""
    found = {(row["stack"], row["closes_first"]): over_time(run, row) for _, row in run.passed.iterrows()}
    for stack in STACKS:
        assert found[stack, "server"].max() == 0
        assert (found[stack, "client"].iloc[0], found[stack, "client"].iloc[-1]) == (0, 2)
        assert found[stack, "client"].index[0] == 0


def test_a_run_from_before_either_end_closed_first_is_refused(run: Run) -> None:
    run.points.drop(columns="closes_first", inplace=True)
    for show in (figures.table, figures.draw):
        with pytest.raises(UnreadableRun, match=r"its points have no closes_first, as they have now; run it again$"):
            show(run)


def test_the_table_and_the_figure(run: Run, tmp_path: Path) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(figures.table(run))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "server Python MPTCP, passive_close=off 1500 4 1496 1" in lines
    png, pdf = figures.save(run, tmp_path / "figures")
    assert png.stat().st_size > 10_000
    assert pdf.stat().st_size > 5_000
