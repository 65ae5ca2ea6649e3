"""What stacks of a user's own are called and how they are drawn, in figures and tables."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis import figures, style
from analysis.figures import schedulers
from analysis.load import load_run
from analysis.style import LONGEST_LABEL, LOOKS, look
from testbed.stacks import own_labels
from testbed.stacks.python_mptcp import PythonMptcp
from tests.analysis.test_analysis import write_run


class Mine(PythonMptcp):
    name, label = "python-mine", "Python MPTCP, weighted"


class Unlabelled(PythonMptcp):
    name = "python-unlabelled"


MINE, UNLABELLED = f"{__name__}:Mine", f"{__name__}:Unlabelled"


@pytest.fixture
def run_of(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Look at stacks as the figures of a run do that has them."""
    tokens = []

    def use(*stacks: str, labels: dict[str, str] | None = None) -> None:
        tokens.append(style.use({"stacks": list(stacks), "labels": labels or {}}))

    yield use
    for token in reversed(tokens):
        style.forget(token)


def test_labels_are_those_of_the_classes_with_what_was_asked() -> None:
    stacks = ["kernel-tcp", MINE, f"{MINE}@olia", f"{MINE}+scheduler=ecf", "python-mptcp+scheduler=ecf"]
    assert own_labels(stacks) == {
        MINE: "Python MPTCP, weighted",
        f"{MINE}@olia": "Python MPTCP, weighted, olia",
        f"{MINE}+scheduler=ecf": "Python MPTCP, weighted, scheduler=ecf",
    }


def test_stacks_of_one_run_have_their_labels_and_different_colours(run_of: Any) -> None:
    stacks = [f"mine:S{number}" for number in range(6)]
    run_of("kernel-tcp", *stacks, labels={name: f"label of {name}" for name in stacks})
    looks = [look(name) for name in stacks]
    assert [one.label for one in looks] == [f"label of {name}" for name in stacks]
    colors = {one.color for one in looks}
    assert len(colors) == len(stacks)
    assert not colors & {one.color for one in LOOKS.values()}


def test_more_stacks_than_colours_differ_in_their_lines(run_of: Any) -> None:
    stacks = [f"mine:S{number}" for number in range(12)]
    run_of(*stacks)
    assert len({(one.color, one.linestyle) for one in map(look, stacks)}) == 12


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("Python MPTCP", "Python MPTCP (mine:A)"),
        ("  two\nlines ", "two lines"),
        ("_hidden", "hidden"),
        ("", "mine:A"),
        ("x" * 200, "x" * (LONGEST_LABEL - 1) + "…"),
        ("$a_b$ <b>&amp; [red]", "$a_b$ <b>&amp; [red]"),
    ],
)
def test_labels_that_would_mislead_or_spoil_a_figure(run_of: Any, label: str, shown: str) -> None:
    run_of("mine:A", labels={"mine:A": label})
    assert look("mine:A").label == shown


def test_two_of_the_same_label_are_told_apart(run_of: Any) -> None:
    run_of("mine:A", "mine:B", labels={"mine:A": "same", "mine:B": "same"})
    assert (look("mine:A").label, look("mine:B").label) == ("same", "same (mine:B)")


def test_settings_are_named_behind_the_stack_that_has_them(run_of: Any) -> None:
    run_of("python-mptcp+scheduler=ecf", "python-mptcp@olia+gso_max_bytes=1400")
    assert look("python-mptcp+scheduler=ecf").label == "Python MPTCP, scheduler=ecf"
    assert look("python-mptcp@olia+gso_max_bytes=1400").label == "Python MPTCP, olia, gso_max_bytes=1400"
    assert look("python-mptcp+scheduler=ecf").color != look("python-mptcp").color


def test_a_scheduler_is_not_called_default_where_the_stack_or_a_setting_says_which(run_of: Any) -> None:
    run_of("kernel-mptcp", "mine:A", labels={"mine:A": "weighted"})
    assert schedulers.label("mine:A") == "weighted"
    assert schedulers.label("python-mptcp+scheduler=ecf+congestion=olia") == "ecf, congestion=olia"
    assert schedulers.label("python-mptcp+congestion=olia") == "Python MPTCP, default, congestion=olia"
    assert schedulers.label("kernel-mptcp") == "kernel MPTCP, default"


def test_figure_and_table_of_a_run_have_them(tmp_path: Path) -> None:
    rows = [
        {"stack": stack, "repetition": n, "outcome": "passed", "why": "", "elapsed_s": 1.0 + n}
        for stack in ("kernel-tcp", "mine:A", UNLABELLED)
        for n in (1, 2)
    ]
    labels = {"mine:A": "weighted $x$ [b]", UNLABELLED: "Python MPTCP"}
    run = load_run(write_run(tmp_path, "idea", "general", {}, rows, labels=labels, stacks=list(labels)))
    style.apply()
    figure = figures.draw(run)
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert ticks[:2] == ["kernel TCP", "weighted $x$ [b]"]
    assert ticks[2].startswith("Python MPTCP (")
    console = Console(file=io.StringIO(), width=200, markup=False)
    console.print(figures.table(run))
    assert "weighted $x$ [b]" in console.file.getvalue()  # type: ignore[attr-defined]
    assert figures.rendered(figure, "png")
    assert look("mine:A").label == "mine:A", "only within the run"
