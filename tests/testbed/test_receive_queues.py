"""Receive algorithms: all deliver the same bytes, whatever the order, and cost what they should."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.receive_algorithms.queues import ALGORITHMS
from experiments.receive_algorithms.replay import Arrival, comparisons, costs, disorder, nanoseconds, replay

ARRIVALS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(1, 25)), min_size=1, max_size=60)


@pytest.mark.parametrize("name", ALGORITHMS)
@given(arrivals=ARRIVALS)
def test_every_byte_comes_out_once_and_in_order(name: str, arrivals: list[tuple[int, int, int]]) -> None:
    stream = bytes(range(100))
    queue, arrived, delivered = ALGORITHMS[name](0), set(), b""
    for subflow, start, length in arrivals:
        arrived |= set(range(start, start + length))
        for chunk in queue.insert(subflow, start, [memoryview(stream)[start : start + length]], length):
            delivered += bytes(chunk)
        whole = next(number for number in range(101) if number not in arrived)
        assert delivered == stream[:whole]


def paths(subflows: int, late: int, number: int = 4000) -> list[Arrival]:
    """Subflows in turn, ten segments at once, those of each `late` segments behind those of the one before."""
    of = [place // 10 % subflows for place in range(number)]
    rows = sorted((place + late * of[place], of[place], place * 1000) for place in range(number))
    return [Arrival(subflow, start, 1000) for _, subflow, start in rows]


def test_with_many_subflows_a_list_costs_more_than_shortcuts() -> None:
    few, many = (
        {name: comparisons(name, paths(subflows, 50)) for name in ("regular", "shortcuts", "all-shortcuts")}
        for subflows in (2, 8)
    )
    assert many["regular"] > 4 * few["regular"]
    assert many["shortcuts"] < many["regular"] / 2
    assert many["all-shortcuts"] < many["shortcuts"]


def test_a_tree_costs_the_logarithm_and_so_does_ours_whatever_build_runs_here(tmp_path: Path) -> None:
    arrivals = [Arrival(0, start * 10, 10) for start in range(1, 2001)]
    Random(1).shuffle(arrivals)
    arrivals.append(Arrival(0, 0, 10))
    measured = costs(arrivals, 1, tmp_path / "arrivals.csv")
    assert measured["comparisons_regular"] > 400
    assert 1 < measured["comparisons_tree"] < 100
    assert 1 < measured["comparisons_ours"] < 100
    assert measured["build"] == "pure"
    assert {measured[f"delivered_bytes_{name}"] for name in ALGORITHMS} == {20_010}
    assert measured["segments"] == 2001


def test_disorder_is_that_of_the_arrivals() -> None:
    assert disorder(paths(2, 0))["out_of_order_share"] == 0
    late = disorder(paths(2, 100, 1000))
    assert late["out_of_order_share"] > 0.4
    assert 40 < late["held_max"] <= 51


def test_the_clock_is_asked_about_every_algorithm() -> None:
    arrivals = paths(2, 200, 1000)
    times = nanoseconds(arrivals, 3)
    assert set(times) == set(ALGORITHMS)
    assert times["regular"] > 0
    assert {replay(name, arrivals) for name in ALGORITHMS} == {1_000_000}
