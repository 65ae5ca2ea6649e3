"""The quality of calls, and the figure of a handover from made-up delays."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from analysis import figures
from analysis.collected import Collected
from analysis.emodel import CODECS, opinion, rating, score
from analysis.figures import handover as figure
from analysis.load import load_run
from tests.analysis.test_analysis import write_run
from tests.analysis.test_collected import KERNEL


def test_ratings_and_scores_are_those_of_the_recommendation() -> None:
    assert opinion(93.2) == pytest.approx(4.41, abs=0.005)
    assert opinion(50) == pytest.approx(2.58, abs=0.005)
    assert opinion(0) == 1
    # Without echo, 150 ms cost 3.6 points and 400 ms 34.1.
    assert rating(150, 0, CODECS["g711"]) == pytest.approx(93.2 - 3.6)
    assert rating(400, 0, CODECS["g711"]) == pytest.approx(93.2 - 9.6 - 24.497, abs=0.01)
    assert rating(0, 0.251, CODECS["g711"]) == pytest.approx(93.2 - 47.5)


def test_late_frames_are_lost_to_the_ear() -> None:
    good = score([50.0] * 100, "g711")
    assert score([50.0] * 90 + [900.0] * 10, "g711") < good - 0.5
    assert score([249.0] * 100, "g711") == good
    assert score([50.0] * 100, "g729") < good
    assert score([50.0] * 100, "opus") is None


STARTING_NS = 350_000_000
"""What the server takes to start, after which the links begin to change."""
LOAD_NS = int(Collected.open(KERNEL, "interfaces").sidecar["workload"]["began_ns"])
BEGAN_NS = LOAD_NS + STARTING_NS
SAMPLE_NS = 50_000_000


@pytest.fixture
def handover(tmp_path: Path) -> Path:
    parameters = {"degrade_at": 3 * 10**9, "down_at": 5 * 10**9, "up_at": 10 * 10**9}
    cases = [("full", "forward", 30), ("backup", "forward", 700), ("full", "convert", 700)]
    call = {
        "stack": "kernel-mptcp", "load": "call-g711", "mode": "full", "proxy": "forward", "repetition": 1,
        "outcome": "passed", "why": "", "began_ns": BEGAN_NS,
    }  # fmt: skip
    rows = [{**call, "mode": mode, "proxy": way, "interruption_ms": 700.0} for mode, way, _ in cases]
    bulk = {**call, "load": "bulk", "throughput_bps": 7.25e6}
    path = write_run(tmp_path, "handover", "handover", parameters, [*rows, bulk], stacks=["kernel-mptcp"])
    for mode, way, late_ms in cases:
        point = path / "points" / f"kernel-mptcp.load-call-g711.mode-{mode}.proxy-{way}.r1"
        shutil.copytree(KERNEL / "collected", point / "collected")
        due = [BEGAN_NS + number * 20_000_000 for number in range(800)]
        waits = [late_ms if 250 <= number < 290 else 20 for number in range(800)]
        frames = pd.DataFrame(
            {
                "number": range(800),
                "size_bytes": 160,
                "due_ns": due,
                "received_ns": [at + wait * 1_000_000 for at, wait in zip(due, waits, strict=True)],
            }
        )
        for direction in ("upload", "download"):
            frames.to_csv(point / f"frames-{direction}.csv", index=False)
    return path


def test_the_table_tells_late_frames_and_scores(handover: Path) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(figures.table(load_run(handover)))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "kernel MPTCP call-g711 full 20 30 0.0% 700 3.89 all" in lines
    assert "kernel MPTCP call-g711 backup 20 700 5.0% 700 3.14 all" in lines
    assert "kernel MPTCP call-g711 convert 20 700 5.0% 700 3.14 all" in lines
    assert "kernel MPTCP bulk full 7.2 Mbit/s" in lines


def test_frames_and_bytes_of_the_paths_are_on_one_clock(handover: Path) -> None:
    """WiFi carries until the links have changed for 5 s, 3G from then on, and frames are late from then on."""
    point = handover / "points" / "kernel-mptcp.load-call-g711.mode-full.proxy-forward.r1"
    change = (STARTING_NS + 5 * 10**9) // SAMPLE_NS
    with (point / "collected" / "interfaces.jsonl").open("w") as file:
        for number in range(200):
            carried = {"client-eth1": min(number, change), "client-eth2": max(0, number - change)}
            lines = ["", "", *(f"{name}: {count}{' 0' * 15}" for name, count in carried.items())]
            time_ns, text = LOAD_NS + number * SAMPLE_NS, "\n".join(lines)
            reading = {"time_ns": time_ns, "host": "client", "source": "dev", "text": text}
            file.write(json.dumps(reading) + "\n")
    run = load_run(handover)
    row = next(figure.calls(run).itertuples())
    frames, rates = figure.delays(run, row), figure.rates(run, row)
    assert frames.loc[frames["delay_ms"] > 20, "time_s"].min() == pytest.approx(5)
    carries = rates.div(rates.sum(axis=1), axis=0)
    assert carries.at[4.5, "client-eth1"] > 0.85
    assert carries.at[5.0, "client-eth2"] > 0.85


def test_the_figure_is_drawn(handover: Path, tmp_path: Path) -> None:
    png, pdf, *_latencies = figures.save(load_run(handover), tmp_path / "figures")
    assert png.stat().st_size > 20_000
    assert pdf.stat().st_size > 5_000
