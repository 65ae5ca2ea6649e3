"""The figure and the table of addresses that go and come, from packets captured of a connection."""

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from analysis import figures
from analysis.collected import Collected
from analysis.figures.mobility import MOMENTS, delays
from analysis.load import load_run
from tests.analysis.test_analysis import write_run
from tests.analysis.test_collected import KERNEL

CHANGES_S = {"second_goes": 0.0, "second_returns": 0.2, "first_goes": 0.3, "first_returns": 0.4}
"""The capture begins with a connection; the server announces an address at 0.218 s, which is joined."""


@pytest.fixture
def mobility(tmp_path: Path) -> Path:
    began_ns = Collected.open(KERNEL, "pcap").sidecar["workload"]["began_ns"]
    times = {f"moments_ns_{name}": began_ns + round(CHANGES_S[name] * 1e9) for name in MOMENTS}
    point = {"repetition": 1, "outcome": "passed", "why": "", "longest_gap_s": 0.4, **times}
    rows = [{"stack": "kernel-mptcp", "moves": host, **point} for host in ("client", "server")]
    parameters = {"rate": 8_000_000, "step_s": 0.1}
    path = write_run(tmp_path, "mobility", "mobility", parameters, rows, stacks=["kernel-mptcp"])
    for row in rows:
        raw = path / "points" / f"kernel-mptcp.moves-{row['moves']}.r1"
        shutil.copytree(KERNEL / "collected", raw / "collected")
    return path


def test_options_are_found_after_the_change_and_by_who_sent_them(mobility: Path) -> None:
    found = delays(load_run(mobility)).set_index(["moves", "change"])
    returned = found.loc[("server", "second_returns")]
    assert returned["announce_ms"] == pytest.approx(17.694, abs=0.01)
    assert returned["echo_ms"] == pytest.approx(17.705, abs=0.01)
    assert returned["join_ms"] == pytest.approx(17.762, abs=0.01)
    assert found.loc[("client", "second_returns")]["echo_ms"] == returned["announce_ms"]
    assert found["remove_ms"].isna().all()
    assert found.loc[("server", "first_goes")][["announce_ms", "join_ms", "data_ms"]].isna().all()


def test_table_and_figure(mobility: Path, tmp_path: Path) -> None:
    run = load_run(mobility)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(figures.table(run))
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert "kernel MPTCP  server  2nd back           18    18    18           0.4  1" in lines
    png, pdf = figures.save(run, tmp_path / "figures")
    assert png.stat().st_size > 10_000
    assert pdf.stat().st_size > 5_000
