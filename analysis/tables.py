"""Tables of results, for terminals, documents and notebooks."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rich import box
from rich.table import Table


def table(
    title: str,
    headings: Iterable[str],
    words: Collection[str] = ("stack",),
    caption: str | None = None,
    *,
    wrap: bool = False,
) -> Table:
    """Return a table without rows; columns of `words` are at the left, those of numbers at the right.

    `wrap`: whether cells may take several lines where the table is too wide.
    """
    result = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in headings:
        result.add_column(heading, justify="left" if heading in words else "right", no_wrap=not wrap)
    return result


def number(mean: float, sd: float, n: float, form: str = ".2f", sign: str = " ± ") -> str:
    """Return a mean, with its spread where there is one: of more than one repetition."""
    return f"{mean:{form}}" + (f"{sign}{sd:{form}}" if n > 1 else "")
