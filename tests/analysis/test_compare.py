"""Whether one run repeats another: verdicts by point, and the intervals behind them."""

import fnmatch
import json
import math
import re
import statistics
from importlib import import_module
from pathlib import Path
from random import Random

import pytest

from analysis.compare import Incomparable, compare, difference, outcome
from analysis.load import load_run
from tests.analysis.test_analysis import write_run
from tests.testbed.test_cli import PROJECT, Lab, lab

__all__ = ["lab"]

KEPT = PROJECT / "analysis" / "notebooks" / "results"
BASE = (5.0e6, 5.1e6, 4.9e6)


def a_run(root: Path, by_loss: dict[float, tuple[object, ...]], build: str = "", **manifest: object) -> Path:
    rows = [
        {
            "stack": "python-tcp" if build else "kernel-tcp",
            "repetition": repetition,
            "loss": loss,
            "outcome": "passed",
            "why": "",
            **({"build": build} if build else {}),
            "throughput_bps": value,
            "cpu_s": float(len(str(root))),  # not what the figure shows
        }
        for loss, values in by_loss.items()
        for repetition, value in enumerate(values, 1)
    ]
    stacks = list(dict.fromkeys(row["stack"] for row in rows))
    return write_run(
        root, "lossy-link", "lossy_link", {"seed": 1, "rate": 50_000_000}, rows, **{"stacks": stacks, **manifest}
    )


def verdicts(tmp_path: Path, first: dict, second: dict) -> dict[float, str]:
    a, b = (load_run(a_run(tmp_path / name, values)) for name, values in (("a", first), ("b", second)))
    frame = compare(a, b)
    assert set(frame["metric"]) == {"throughput_bps"}
    return dict(zip(frame["loss"], frame["verdict"], strict=True))


def test_each_point_has_its_verdict(tmp_path: Path) -> None:
    first = {0.0: BASE, 0.01: BASE, 0.02: BASE, 0.03: (5e6,), 0.04: (5e6,), 0.05: BASE}
    second = {0.0: BASE, 0.01: (5.02e6, 5.1e6, 4.9e6), 0.02: (9.0e6, 9.1e6, 8.9001e6), 0.03: (5e6,), 0.04: (5.1e6,)}
    assert verdicts(tmp_path, first, second) == {
        0.0: "repeated",
        0.01: "repeated",
        0.02: "differs",
        0.03: "repeated",
        0.04: "cannot tell",
        0.05: "missing",
    }


def test_repetitions_are_compared_in_pairs(tmp_path: Path) -> None:
    """What the seeds do, here factors of ten, is no difference; the same values in another order are one."""
    first = {0.0: (1.0, 10.0, 100.0)}
    assert verdicts(tmp_path, first, {0.0: (3.5, 12.5, 102.5001)}) == {0.0: "differs"}
    frame = compare(*(load_run(tmp_path / name / "lossy-link" / "0123456789ab") for name in "ab"))
    assert frame["half_width"].iloc[0] < 0.001


def test_two_repetitions_with_much_spread_tell_nothing(tmp_path: Path) -> None:
    """Two runs of lossy-link with n = 2: 9.74 and 9.31 Mbit/s with an interval of 30 % were 'repeated' once."""
    first, second = {0.01: (9.9e6, 9.58e6)}, {0.01: (9.24e6, 9.38e6)}
    assert verdicts(tmp_path, first, second) == {0.01: "cannot tell"}


def test_the_margin_decides(tmp_path: Path) -> None:
    """The interval of the difference is from 1.6 to 2.4 %."""
    a, b = (
        load_run(a_run(tmp_path / name, {0.0: values}))
        for name, values in (("a", (100.0, 100.0, 100.0)), ("b", (101.8356, 102.0, 102.1644)))
    )
    frame = compare(a, b)
    assert frame["difference"].iloc[0] + frame["half_width"].iloc[0] == pytest.approx(2.41, abs=0.01)
    assert [compare(a, b, within)["verdict"].iloc[0] for within in (0.05, 0.025, 0.024, 0.01)] == [
        "repeated", "repeated", "differs", "differs",
    ]  # fmt: skip


def test_one_of_many_outside_its_interval_is_no_difference(tmp_path: Path) -> None:
    off = (5.2e6, 5.25e6, 5.1e6)
    found = difference([new - old for old, new in zip(BASE, off, strict=True)])
    assert found.probability == pytest.approx(0.0082, abs=0.0005)
    many = dict.fromkeys(range(20), BASE)
    near = dict.fromkeys(range(20), (5.0e6, 5.1e6, 4.9e6 + 1))
    verdict = verdicts(tmp_path, many, near | {7: off})
    assert [loss for loss in verdict if verdict[loss] == "cannot tell"] == [7]
    assert set(verdict.values()) == {"repeated", "cannot tell"}
    (tmp_path / "alone").mkdir()
    assert verdicts(tmp_path / "alone", {7: BASE}, {7: off}) == {7: "differs"}


def test_whole_numbers_are_numbers_and_words_are_not(tmp_path: Path) -> None:
    first = {0.0: (7, 8), 0.1: (5, 5)}
    assert verdicts(tmp_path, first, {0.0: (7, 9), 0.1: (5, 5)}) == {0.0: "cannot tell", 0.1: "repeated"}
    (tmp_path / "words").mkdir()
    words = {0.0: ("full", "fewer"), 0.1: ("full", "full")}
    found = verdicts(tmp_path / "words", words, {0.0: ("fewer", "full"), 0.1: ("full", "full")})
    assert found == {0.0: "differs", 0.1: "repeated"}


def test_without_any_spread_the_margin_alone_decides(tmp_path: Path) -> None:
    found = verdicts(tmp_path, {0.0: (7.0, 7.0), 0.1: (7.0, 7.0)}, {0.0: (7.0001, 7.0001), 0.1: (8.0, 8.0)})
    assert found == {0.0: "repeated", 0.1: "differs"}


def test_failed_points_are_not_compared(tmp_path: Path) -> None:
    path = a_run(tmp_path / "a", {0.0: BASE})
    text = (path / "results.csv").read_text().replace("passed", "failed")
    other = a_run(tmp_path / "b", {0.0: BASE})
    (other / "results.csv").write_text(text)
    assert list(compare(load_run(path), load_run(other))["verdict"]) == ["missing"]
    assert list(compare(load_run(other), load_run(other))["verdict"]) == ["missing"], "not left out in silence"
    (other / "results.csv").write_text(text.replace("failed", "unsupported"))
    with pytest.raises(Incomparable, match="no point of either has passed"):
        compare(load_run(other), load_run(other))


def test_a_repetition_of_one_run_alone_is_missing(tmp_path: Path) -> None:
    """Of three repetitions two failed the second time: the one that is left repeats, the run does not."""
    path, other = (a_run(tmp_path / name, {0.0: BASE}) for name in "ab")
    rows = (other / "results.csv").read_text().splitlines(keepends=True)
    (other / "results.csv").write_text("".join([*rows[:2], *(row.replace("passed", "failed") for row in rows[2:])]))
    frame = compare(load_run(path), load_run(other))
    assert (list(frame["verdict"]), list(frame["n_a"]), list(frame["n_b"])) == (["missing"], [3], [1])
    assert outcome(frame) == "differs"
    assert outcome(compare(load_run(other), load_run(other))) == "repeated"


def test_what_has_no_end_is_a_word(tmp_path: Path) -> None:
    """An infinite value has neither a mean nor a spread."""
    endless = (math.inf, 5.1e6, math.inf)
    assert verdicts(tmp_path, {0.0: BASE, 0.1: endless}, {0.0: endless, 0.1: endless}) == {
        0.0: "differs", 0.1: "repeated",
    }  # fmt: skip


def test_interval_holds_as_often_as_it_says() -> None:
    dice = Random(1)
    found = [difference([dice.gauss(0, 1) for _ in range(3)]) for _ in range(2000)]
    assert statistics.fmean(abs(one.value) <= one.half_width for one in found) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        ({"experiment": "fairness"}, "is of lossy-link, .* of fairness$"),
        ({"specification": {"parameters": {"seed": 2, "rate": 50_000_000}}}, "parameters differ: seed 1 and 2$"),
        (
            {"specification": {"parameters": {"seed": 1, "rate": 50_000_000}, "topologies": [1]}},
            "what was asked differs in topologies$",
        ),
    ],
)
def test_runs_of_other_things_are_one_line(lab: Lab, tmp_path: Path, manifest: dict, line: str) -> None:
    a = a_run(tmp_path / "a", {0.0: BASE})
    b = a_run(tmp_path / "b", {0.0: BASE}, **manifest)
    with pytest.raises(Incomparable, match=line):
        compare(load_run(a), load_run(b))
    done = lab("compare", str(a), str(b))
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")


def test_builds_are_compared_only_when_asked_for(lab: Lab, tmp_path: Path) -> None:
    a, b, again = (a_run(tmp_path / f"{n}", {0.0: BASE}, build) for n, build in enumerate(("pure", "compiled", "pure")))
    assert outcome(compare(load_run(a), load_run(again))) == "repeated"
    told = f"{a}: our stack: pure Python, {b}: our stack: compiled; --across-builds compares them all the same"
    with pytest.raises(Incomparable, match=re.escape(told)):
        compare(load_run(a), load_run(b))
    assert outcome(compare(load_run(a), load_run(b), across_builds=True)) == "repeated"
    assert lab("compare", str(a), str(b)).stderr == f"lab: {told}\n"
    done = lab("compare", str(a), str(b), "--across-builds")
    assert (done.returncode, done.stdout.count(", our stack: compiled\n")) == (0, 1)


def test_a_run_is_compared_with_the_one_that_is_kept(tmp_path: Path) -> None:
    """Of that one the parameters alone are kept of what was asked, and the networks that ran."""
    networks = [{"network": "two-paths: 50 Mbit/s", "rates_and_delays": "50 Mbit/s", "link_names": ["path1"],
                 "between_ends_bps": [1], "slowest_bps": 1, "factors": {}}]  # fmt: skip
    asked = {"parameters": {"seed": 1, "rate": 50_000_000}, "topologies": [1]}
    kept = load_run(a_run(tmp_path / "kept", {0.0: BASE}, kept=True, networks=networks))
    own = load_run(a_run(tmp_path / "own", {0.0: BASE}, specification=asked, networks=networks))
    assert outcome(compare(kept, own)) == "repeated"
    other = [networks[0] | {"network": "three-paths: 50 Mbit/s"}]
    with pytest.raises(Incomparable, match="what was asked differs in networks"):
        compare(kept, load_run(a_run(tmp_path / "other", {0.0: BASE}, specification=asked, networks=other)))


def test_command_shows_where_runs_are_from_and_says_the_outcome(lab: Lab, tmp_path: Path) -> None:
    elsewhere = {
        "sessions": [{"began": "2026-02-03T04:05:06", "git": {"commit": "0123456789abcdef"}, "kernel": "Other 7"}]
    }
    a = a_run(tmp_path / "a", {0.0: BASE, 0.01: BASE})
    b = a_run(tmp_path / "b", {0.0: BASE, 0.01: (5.02e6, 5.1e6, 4.9e6)}, **elsewhere)
    done = lab("compare", str(a), str(tmp_path / "b"))  # what --out was
    assert done.returncode == 0, done.stderr
    for text in (
        f"{b}, 2026-02-03, commit 0123456789, ",
        "2 repeated: ",
        "outcome: repeated (within 5%)\n",
    ):
        assert text in done.stdout
    far = a_run(tmp_path / "far", {0.0: BASE, 0.01: (9e6, 9.1e6, 8.91e6)})
    document = json.loads(lab("compare", str(a), str(far), "--json").stdout)
    assert (document["counts"], document["outcome"]) == ({"repeated": 1, "differs": 1}, "differs")
    done = lab("compare", str(a), str(far))
    assert done.returncode == 1
    assert done.stdout.endswith("outcome: differs (within 5%)\n")
    done = lab("compare", str(a), str(b), "--within", "0.1%")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "outcome: cannot tell (within 0.1%)")
    done = lab("compare", str(a), str(b), "--within", "much")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert lab("compare", str(a), str(tmp_path)).stderr.startswith(f"lab: {tmp_path}: not a run directory")


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_kept_results_repeat_themselves(path: Path) -> None:
    """Of every experiment there is something to compare, by the names that its results have."""
    run = load_run(path.parent)
    frame = compare(run, run)
    named = import_module(f"analysis.figures.{run.manifest['figure']}").METRICS
    assert all(fnmatch.filter(frame["metric"], pattern) for pattern in named)
    assert all(any(fnmatch.fnmatchcase(metric, pattern) for pattern in (*named, "any")) for metric in frame["metric"])
    points = run.passed.groupby("stack").ngroups
    assert len(frame) >= points
    assert set(frame["verdict"]) <= {"repeated", "missing"}
