"""What a run shows while it goes on: a bar with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import override


class Display:
    """Is told by the runner what happens. Seconds are expected ones, see `Experiment.expected_seconds`."""

    def begin(self, points: int, expected_s: float) -> None:
        """The run begins with so many points."""

    def stage(self, text: str) -> None:
        """Something between the points has begun, such as building a lab."""

    def point_begins(self, key: str, expected_s: float) -> None:
        """A point begins."""

    def point_progress(self, share: float) -> None:
        """This share of the point is done, 0 to 1."""

    def point_ends(self, key: str, outcome: str, why: Sequence[str], seconds: float) -> None:
        """The point has ended."""

    def end(self) -> None:
        """The run has ended, however."""


class Lines(Display):
    """One line a point on standard error: for log files and pipes."""

    def __init__(self) -> None:
        self._points = self._done = 0
        self._began = time.monotonic()
        self._expected_s = self._left_s = self._point_s = 0.0

    @override
    def begin(self, points: int, expected_s: float) -> None:
        self._points = points
        self._expected_s = self._left_s = expected_s
        self._began = time.monotonic()

    @override
    def point_begins(self, key: str, expected_s: float) -> None:
        self._point_s = expected_s

    @override
    def point_ends(self, key: str, outcome: str, why: Sequence[str], seconds: float) -> None:
        self._done += 1
        self._left_s -= self._point_s
        pace = (time.monotonic() - self._began) / (self._expected_s - self._left_s)
        reasons = f" ({'; '.join(why)})" if why else ""
        print(
            f"{self._done}/{self._points} {key}: {outcome}{reasons},"
            f" {seconds:.1f} s, about {max(0.0, self._left_s) * pace:.0f} s left",
            file=sys.stderr,
            flush=True,
        )


class Bar(Display):
    """A progress bar with the remaining time, on standard error."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", justify="left", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[done]}/{task.fields[points]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            # The pace of the whole run, not of the last seconds: points differ in length.
            speed_estimate_period=24 * 3600,
            expand=True,
        )
        self._task = TaskID(0)
        self._before_s = self._point_s = 0.0
        self._done = 0

    @override
    def begin(self, points: int, expected_s: float) -> None:
        self._task = self._progress.add_task("", total=expected_s, points=points, done=0)
        self._progress.start()

    @override
    def stage(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    @override
    def point_begins(self, key: str, expected_s: float) -> None:
        self._point_s = expected_s
        self._progress.update(self._task, description=key)

    @override
    def point_progress(self, share: float) -> None:
        done_s = self._before_s + self._point_s * min(max(share, 0.0), 1.0)
        self._progress.update(self._task, completed=done_s)

    @override
    def point_ends(self, key: str, outcome: str, why: Sequence[str], seconds: float) -> None:
        self._before_s += self._point_s
        self._done += 1
        self._progress.update(self._task, completed=self._before_s, done=self._done)
        if why:
            self._progress.console.print(f"{key}: {outcome}: {'; '.join(why)}", markup=False)

    @override
    def end(self) -> None:
        self._progress.stop()


def display() -> Display:
    """Return a bar when standard error is a terminal, lines when not."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()
