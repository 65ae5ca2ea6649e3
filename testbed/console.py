"""Where tables are printed: on a terminal as wide as it is, elsewhere as wide as they are."""

from __future__ import annotations

import sys

from rich.console import Console

_UNFOLDED = 10_000
"""Columns where there is no terminal: no table is folded or cut for a pipe, a file or another program."""


def table_console(*, markup: bool = False) -> Console:
    """A console on standard output: no colours or guesses by what a word looks like, names out of data as they are."""
    width = None if sys.stdout.isatty() else _UNFOLDED
    return Console(width=width, highlight=False, markup=markup, emoji=False)
