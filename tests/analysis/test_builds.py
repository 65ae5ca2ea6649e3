"""Results say which build of our stack ran: in the table of points, and below every figure and table."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from analysis import builds, figures, origin, style
from analysis.load import Run, load_run
from tests.analysis.test_analysis import write_run


def a_run(root: Path, points: Sequence[tuple[str, str | None]]) -> Run:
    """A run with these stacks and builds, in the order of its points."""
    rows = [
        {"stack": stack, "repetition": number, "outcome": "passed", "why": "", "build": build, "rate": float(number)}
        for number, (stack, build) in enumerate(points, 1)
    ]
    stacks = list(dict.fromkeys(stack for stack, _ in points))
    return load_run(write_run(root, "mine", "general", {}, rows, stacks=stacks))


@pytest.mark.parametrize(
    ("points", "caption"),
    [
        ([("kernel-tcp", None)], ""),
        ([("kernel-tcp", None), ("python-tcp", "compiled"), ("python-mptcp", "compiled")], "our stack: compiled"),
        (
            [("python-mptcp", "compiled"), ("python-tcp", "compiled"), ("python-mptcp+build=pure", "pure")],
            "our stack: compiled (python-mptcp, python-tcp); pure Python (python-mptcp+build=pure)",
        ),
        (
            [("python-tcp", "pure"), ("python-tcp", "compiled")],
            "our stack: compiled (python-tcp); pure Python (python-tcp)",
        ),
    ],
)
def test_captions_say_what_ran(tmp_path: Path, points: list[tuple[str, str | None]], caption: str) -> None:
    style.apply()
    run = a_run(tmp_path, points)
    assert builds.caption(run) == caption
    table = str(figures.table(run).caption)
    drawn = " ".join(figures.draw(run).get_supxlabel().split())
    for text in (table, drawn):
        assert caption in text if caption else "our stack" not in text
    assert origin.environment(run).get("our stack", "") == caption.removeprefix("our stack: ")


def test_results_of_before_are_of_pure_python(tmp_path: Path) -> None:
    """They have no column for it."""
    stacks = ["kernel-tcp", "python-tcp"]
    rows = [{"stack": stack, "repetition": 1, "outcome": "passed", "why": "", "rate": 1.0} for stack in stacks]
    run = load_run(write_run(tmp_path, "mine", "general", {}, rows, stacks=stacks))
    assert builds.caption(run) == "our stack: pure Python"
    ours = run.points["stack"].str.startswith("python")
    assert run.points[~ours]["build"].isna().all()
