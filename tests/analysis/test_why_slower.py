"""The sentence that follows from a run of why-slower: of what holds MPTCP back, and never of what chance does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from analysis.figures import why_slower
from analysis.load import Run, load_run
from tests.analysis.test_analysis import write_run

NOISE = (0.98, 1.0, 1.03, 0.99, 1.0)
"""Of five repetitions, as shares of the mean."""
PARAMETERS = {"buffer": 16_000_000, "scheduler": "ecf", "congestion": "reno"}


def run_of(tmp_path: Path, seconds: Mapping[tuple[str, str, str], float], noise: tuple[float, ...] = NOISE) -> Run:
    """Measured by stack, path and change: that many seconds, more or less; the noise of no two is the same."""
    points = [
        {"stack": stack, "path": path, "change": change, "repetition": number, "outcome": "passed", "why": "",
         "elapsed_s": mean * noise[(number + place) % len(noise)]}
        for place, ((stack, path, change), mean) in enumerate(seconds.items())
        for number in range(1, len(noise) + 1)
    ]  # fmt: skip
    stacks = list(dict.fromkeys(stack for stack, _, _ in seconds))
    return load_run(write_run(tmp_path, "run", "why_slower", PARAMETERS, points, stacks=stacks))


TCP = {("kernel-tcp", "wifi", "none"): 2.0, ("kernel-tcp", "mobile", "none"): 8.0}
ALONE = {**TCP, ("kernel-mptcp", "all", "none"): 2.6}


def said(tmp_path: Path, changes: Mapping[str, float], **options: tuple[float, ...]) -> str:
    measured = ALONE | {("kernel-mptcp", "all", name): seconds for name, seconds in changes.items()}
    (sentence,) = why_slower.sentences(run_of(tmp_path, measured, **options))
    return sentence


def test_what_makes_it_faster_is_what_holds_it_back_the_most_first(tmp_path: Path) -> None:
    sentence = said(tmp_path, {"buffers": 2.0, "delays": 1.3, "scheduler": 2.61, "congestion": 2.58, "core": 2.6})
    assert "times as fast as kernel TCP over wifi, its better path: slower. What holds it back: delays that" in sentence
    assert sentence.index("equal delays: 2.0") < sentence.index("buffers of 16 MB: 1.3")
    for other in ("scheduler", "congestion", "Processor", "Slower"):
        assert other not in sentence


def test_chance_is_no_cause(tmp_path: Path) -> None:
    sentence = said(tmp_path, dict.fromkeys(("buffers", "delays", "scheduler", "congestion", "checksums", "core"), 2.6))
    assert "Not faster by buffers of 16 MB, equal delays, scheduler ecf or congestion control reno" in sentence
    assert sentence.endswith("what holds it back is none of these.")


def test_a_cost_of_processor_time_is_told_as_such(tmp_path: Path) -> None:
    sentence = said(tmp_path, {"checksums": 3.5, "core": 4.5, "congestion": 2.61})
    assert "Processor time is short: slower with DSS checksums (0.7" in sentence
    assert "one core for all programs (0.5" in sentence
    assert sentence.endswith("times).")


def test_what_is_slower_on_as_many_cores_is_not_said_to_be_short_of_them(tmp_path: Path) -> None:
    sentence = said(tmp_path, {"checksums": 3.5, "core": 2.6, "congestion": 3.4})
    assert "Processor" not in sentence
    assert "Slower with DSS checksums (0.7" in sentence
    assert "congestion control reno (0.7" in sentence


def test_faster_than_tcp_is_no_fault(tmp_path: Path) -> None:
    measured = TCP | {("kernel-mptcp", "all", "none"): 1.6, ("kernel-mptcp", "all", "buffers"): 1.6}
    (sentence,) = why_slower.sentences(run_of(tmp_path, measured))
    assert sentence.endswith("its better path: faster.")


WIDE = (0.6, 1.0, 1.5, 0.8, 1.1)


def test_what_intervals_do_not_show_is_not_concluded(tmp_path: Path) -> None:
    measured = ALONE | {("kernel-mptcp", "all", "none"): 2.0}
    (sentence,) = why_slower.sentences(run_of(tmp_path, measured, noise=WIDE))
    assert sentence.endswith("its better path: cannot tell, more repetitions would.")


def test_a_change_that_may_make_it_faster_is_not_ruled_out(tmp_path: Path) -> None:
    points = ALONE | {("kernel-mptcp", "all", "none"): 4.0, ("kernel-mptcp", "all", "buffers"): 4.0}
    run = run_of(tmp_path, points)
    wide = run.points["change"] == "buffers"
    run.points.loc[wide, "elapsed_s"] = [4.0 * share for share in WIDE]
    (sentence,) = why_slower.sentences(run)
    assert "What holds it back is not clear: buffers of 16 MB may make it faster, or not" in sentence


def test_of_what_was_not_tried_nothing_is_said(tmp_path: Path) -> None:
    assert said(tmp_path, {}).endswith("its better path: slower.")


def test_a_stack_of_which_nothing_passed_is_named_with_what_may_be_the_reason(tmp_path: Path) -> None:
    run = run_of(tmp_path, ALONE)
    run.points.loc[run.points["path"] == "all", "outcome"] = "failed"
    assert why_slower.sentences(run)[0].startswith("kernel MPTCP: no point of it as it is has passed.")
    assert why_slower.sentences(run_of(tmp_path / "tcp", TCP)) == ["Needs an MPTCP stack beside a TCP stack."]


def test_one_repetition_tells_nothing(tmp_path: Path) -> None:
    assert said(tmp_path, {"buffers": 1.0}, noise=(1.0,)).endswith("which says nothing of chance.")


def test_ours_is_beside_ours_and_a_stack_without_tcp_is_left_out(tmp_path: Path) -> None:
    measured = ALONE | {
        ("python-mptcp", "all", "none"): 3.0,
        ("python-tcp", "wifi", "none"): 2.2,
        ("python-tcp", "mobile", "none"): 1.1,
    }
    first, second = why_slower.cases(run_of(tmp_path, measured))
    assert (first.mptcp, first.tcp, first.better) == ("kernel-mptcp", "kernel-tcp", "wifi")
    assert (second.mptcp, second.tcp, second.better) == ("python-mptcp", "python-tcp", "mobile")
    alone = run_of(tmp_path / "alone", {("kernel-mptcp", "all", "none"): 2.6})
    assert why_slower.cases(alone) == []
    assert "no TCP stack has run beside it" in why_slower.draw(alone).axes[0].get_title("left")


@pytest.mark.parametrize("change", ["buffers", "scheduler", "congestion"])
def test_a_change_is_called_as_the_user_chose_it(tmp_path: Path, change: str) -> None:
    words = {"buffers": "buffers of 16 MB", "scheduler": "scheduler ecf", "congestion": "congestion control reno"}
    assert why_slower.label(run_of(tmp_path, ALONE), change) == words[change]
