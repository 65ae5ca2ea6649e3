"""Where tables are printed: on a terminal as wide as it is, elsewhere as wide as they are."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

_UNFOLDED = 10_000
"""Columns where there is no terminal: no table is folded or cut for a pipe, a file or another program."""


def table_console() -> Console:
    """A console on standard output: no colours or guesses by what a word looks like, names out of data as they are."""
    width = None if sys.stdout.isatty() else _UNFOLDED
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_table(table: Table) -> None:
    """Print a table; where no terminal is, what stands above and below it in lines of its own."""
    console = table_console()
    if sys.stdout.isatty():
        console.print(table)
        return
    above, below = table.title, table.caption  # these it would fold to its own width
    table.title = table.caption = None
    for part in (above, table, below):
        if part is not None:
            console.print(part)
