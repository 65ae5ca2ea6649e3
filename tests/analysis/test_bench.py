"""The benchmark: ratios of pairs, whichever way is better, and what got slower beyond noise."""

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.figures.bench import slower, summary
from testbed.cli.bench import _lines
from testbed.errors import LabError


def points(ours: list[float], theirs: list[float], more: bool = True, **more_columns: list[float]) -> pd.DataFrame:
    """Points of one row, of as many repetitions as there are numbers."""
    both = [("python-mptcp", number) for number in enumerate(ours, 1)]
    both += [("kernel-mptcp", number) for number in enumerate(theirs, 1)]
    frame = pd.DataFrame(
        [{"stack": stack, "repetition": repetition, "score": score} for stack, (repetition, score) in both]
    )
    return frame.assign(
        row="a-row", says="a row", peer="kernel-mptcp", score_unit="1/s", more_is_better=more, outcome="passed",
        **more_columns,
    )  # fmt: skip


def test_a_ratio_is_one_of_pairs() -> None:
    """The machine was half as fast in the second repetition: for both."""
    (line,) = summary(points([8, 4, 9], [10, 5, 10]))
    assert (line.stack, line.peer, line.n, line.score, line.peer_score) == ("python-mptcp", "kernel-mptcp", 3, 8, 10)
    assert (line.times, line.low, line.high) == pytest.approx((0.8, 0.8, 0.9))


def test_of_times_less_is_faster() -> None:
    (line,) = summary(points([20, 40], [10, 10], more=False))
    assert (line.times, line.low, line.high) == pytest.approx((0.375, 0.25, 0.5))


def test_costs_are_those_of_rows_that_have_some() -> None:
    (line,) = summary(points([1, 1], [1, 1], cost=[3, 5, 1, 1]))
    assert line.cost == 4


@pytest.mark.parametrize(
    ("now", "found"), [([6.9, 6.8, 6.5], 1), ([7, 6.8, 6.5], 0), ([9, 9, 9], 0)], ids=["below", "touches", "faster"]
)
def test_slower_is_what_no_pair_is_as_fast_as(now: list[float], found: int) -> None:
    peer = [10.0, 10.0, 10.0]
    lines = slower(summary(points([7, 8, 9], peer)), summary(points(now, peer)))
    assert len(lines) == found
    assert all(
        line.startswith("a-row, python-mptcp: 0.68 x kernel-mptcp (0.65 to 0.69), before 0.80") for line in lines
    )


def test_what_json_printed_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    frame = points([7, 8], [10, 10])
    file.write_text(json.dumps({"points": frame.to_dict("records")}))
    assert _lines(file) == summary(frame)


@pytest.mark.parametrize("text", ["", "[]", '{"points": []}', '{"points": [{"outcome": "passed"}]}', '{"points": 3}'])
def test_what_is_no_such_document_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "before.json"
    file.write_text(text)
    with pytest.raises(LabError, match="not what 'bench --json' prints"):
        _lines(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="No such file"):
        _lines(tmp_path / "nothing.json")


def test_rows_have_peers_and_units() -> None:
    from experiments.bench import ROWS, Benchmark

    experiment = Benchmark(Benchmark.scales["quick"])
    keys = [point.key for point in experiment.points(Benchmark.stacks)]
    assert len(keys) == len(set(keys)) == 5 * sum(len(row.stacks) for row in ROWS.values())
    assert all(len(row.stacks) > 1 and row.score.unit for row in ROWS.values())
