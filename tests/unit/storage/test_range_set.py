"""RangeSet against a plain set of integers."""

from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.storage import RangeSet

SPACE = 60
bounds = st.tuples(st.integers(0, SPACE), st.integers(0, SPACE)).map(sorted).map(tuple)
operations = st.lists(st.tuples(st.sampled_from(["add", "below", "from"]), bounds))


def built(script: list[tuple[str, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for name, (start, end) in script:
        if name == "add":
            ranges.add(start, end)
            model |= set(range(start, end))
        elif name == "below":
            ranges.discard_below(start)
            model -= set(range(start))
        else:
            ranges.discard_from(end)
            model -= set(range(end, SPACE + 1))
    return ranges, model


def runs(model: set[int]) -> list[tuple[int, int]]:
    starts = sorted(value for value in model if value - 1 not in model)
    ends = sorted(value + 1 for value in model if value + 1 not in model)
    return list(zip(starts, ends, strict=True))


@given(operations)
def test_holds_what_was_added_as_few_ranges(script: list[tuple[str, tuple[int, int]]]) -> None:
    ranges, model = built(script)
    assert list(ranges) == runs(model)
    assert len(ranges) == len(runs(model))
    assert ranges.total == len(model)


@given(operations, bounds)
def test_queries_agree_with_the_model(script: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]) -> None:
    ranges, model = built(script)
    start, end = asked
    wanted = set(range(start, end))
    assert ranges.missing(start, end) == runs(wanted - model)
    if wanted:
        assert ranges.covers(start, end) == (wanted <= model)
    holding = [run for run in runs(model) if run[0] <= start < run[1]]
    assert ranges.range_at(start) == (holding[0] if holding else None)


def test_clear_forgets_everything() -> None:
    ranges, _ = built([("add", (1, 5)), ("add", (7, 9))])
    ranges.clear()
    assert list(ranges) == []
    assert ranges.total == 0
    assert ranges.missing(0, 3) == [(0, 3)]
