"""What is wrong with results and captures, in words for who gave them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class AnalysisError(Exception):
    """Something about files, runs or connections that a user can look at; the message is one line."""


class UnreadableFile(AnalysisError):
    """A file that is missing or not as expected."""


class UnreadableRun(UnreadableFile):
    """A run directory that is not as expected."""


class ForeignPlace(AnalysisError):
    """A file that would be written outside of the directory it was meant for."""


class Unforeseen(UnreadableFile):
    """Something failed on data in a way that was not foreseen: they are not as expected, or the code has a mistake.

    The cause is kept (`__cause__`).
    """


@contextmanager
def foreseen(what: str) -> Iterator[None]:
    """Turn whatever fails on `what` in a block into Unforeseen, which names it; an AnalysisError stays as it is."""
    try:
        yield
    except AnalysisError:
        raise
    except Exception as error:
        raise Unforeseen(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}") from error
