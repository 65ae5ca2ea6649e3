"""Which build of our stack the points of a run were measured with: compiled by mypyc, or pure Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analysis.load import Run

WORDS: Final[Mapping[str, str]] = {"compiled": "compiled", "pure": "pure Python", "mixed": "partly compiled"}
"""What builds are called, by their names in results."""


def of_stacks(run: Run) -> dict[str, list[str]]:
    """Return by stack which builds its points ran; those of which that is not known, as the kernel's, are left out."""
    known = run.points.dropna(subset=["build"])
    return {str(stack): sorted(builds.unique()) for stack, builds in known.groupby("stack", sort=False)["build"]}


def caption(run: Run) -> str:
    """Return it in a few words: "our stack: pure Python"; by stack where it is not one for all; "" without any."""
    stacks: dict[str, list[str]] = {}
    for stack, builds in of_stacks(run).items():
        for build in builds:
            stacks.setdefault(build, []).append(stack)
    if not stacks:
        return ""
    words = [WORDS[build] if len(stacks) == 1 else f"{WORDS[build]} ({', '.join(stacks[build])})" for build in stacks]
    return f"our stack: {'; '.join(words)}"
