"""One document of all experiments: HTML to read, PDF to print, with nothing to fetch from elsewhere.

Rules:

- A chapter has the figure and table of one experiment's latest run (`latest`), how it was measured, how the links
  measured up, the machine, and the command that makes it again. What failed or could not run is listed, never left out.
- Every text may be anybody's: it is escaped, and nothing that it names is fetched.

How it works: `build` makes a `Chapter` of each run, with its figures as files in the page and its tables as texts; the
template (`report.html.j2`, `report.css`) lays them out as one page, and WeasyPrint makes the PDF of it.
"""

from __future__ import annotations

import re
import textwrap
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from rich.table import Table

from analysis import figures, files, origin, style
from analysis.load import Run

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Grid:
    """A table: headings, and rows of texts; `left` says which columns hold words, `notes` are the lines below it."""

    headings: list[str]
    rows: list[list[str]]
    left: list[bool]
    notes: list[str] = field(default_factory=list)
    above: list[tuple[str, int]] = field(default_factory=list)
    """A line above the headings: words, each over a number of columns."""


@dataclass(frozen=True)
class Chapter:
    """One experiment in the report."""

    run: Run
    figures: list[str]
    table: Grid
    calibration: Grid
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.run.manifest["experiment"])

    @property
    def method(self) -> Markup:
        """How it was measured."""
        return _marked_up(self.run.manifest.get("method", ""))

    @property
    def limits(self) -> Markup:
        """What this setting cannot reach of the original's."""
        return _marked_up(self.run.manifest.get("limits", ""))

    @property
    def measured(self) -> str:
        """The days on which it was measured."""
        return _days([self.run])

    @property
    def machine(self) -> str:
        """Where it was measured."""
        return origin.machine(self.run)

    @property
    def command(self) -> str:
        """What makes these results again."""
        return origin.command(self.run)

    @property
    def outcomes(self) -> str:
        """How many points ended how."""
        return origin.outcomes(self.run)

    @property
    def whys(self) -> list[str]:
        """What was wrong, each thing once, with the points it happened to."""
        return origin.whys(self.run)


def build(runs: Sequence[Run], directory: Path) -> list[Path]:
    """Write report.html and report.pdf to `directory` from the latest run of each experiment; return the paths."""
    style.apply()
    chapters = [_chapter(run) for run in latest(runs) if not run.passed.empty]
    environment = Environment(
        loader=PackageLoader("analysis.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    html = environment.get_template(_TEMPLATE).render(
        chapters=chapters,
        without=[run for run in latest(runs) if run.passed.empty],
        measured=_days([chapter.run for chapter in chapters]),
        machines=list(dict.fromkeys(chapter.machine for chapter in chapters)),
        made=datetime.now(UTC).date().isoformat(),
    )
    directory.mkdir(parents=True, exist_ok=True)
    page, paper = (files.within(directory, name) for name in ("report.html", "report.pdf"))
    files.replace(page, html.encode())
    # Imported late: it loads the libraries that lay out pages.
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    # Its pictures are in it: whatever else a text might name is not read.
    fetcher = URLFetcher(allowed_protocols=("data",))
    files.replace(paper, HTML(string=html, url_fetcher=fetcher).write_pdf())
    return [page, paper]


def latest(runs: Sequence[Run]) -> list[Run]:
    """The run of each experiment that was begun last, a run at paper scale before a quick one."""
    chosen: dict[str, Run] = {}
    for run in runs:  # the latest last
        name = run.manifest["experiment"]
        if name not in chosen or _rank(run) >= _rank(chosen[name]):
            chosen[name] = run
    return list(chosen.values())


def _rank(run: Run) -> bool:
    return bool(run.manifest.get("scale") == "paper" and not run.passed.empty)


def _chapter(run: Run) -> Chapter:
    return Chapter(run, _svgs(run), _grid(figures.table(run)), _calibration(run), origin.environment(run))


def _svgs(run: Run) -> list[str]:
    """The figures as data URIs: the page stays one file, and what names mean in one figure stays in it."""
    return [f"data:image/svg+xml;base64,{b64encode(one).decode()}" for one in figures.pictures(run, "svg")]


def _grid(table: Table) -> Grid:
    columns = table.columns
    cells = [[str(cell) for cell in column.cells] for column in columns]
    return Grid(
        [str(column.header) for column in columns],
        [list(row) for row in zip(*cells, strict=True)],
        [column.justify == "left" for column in columns],
        str(table.caption or "").splitlines(),
    )


def _calibration(run: Run) -> Grid:
    """The last measurement of every link and direction, for each that was asked of it."""
    rows = [
        [one["link"], one["direction"], *_rate(one), *_delivery(one.get("delivery")), *_depth(one.get("depth"))]
        for one in origin.calibrations(run.manifest)
    ]
    above = [("", 2), *((what, 2) for what in ("rate, Mbit/s", "delay, ms", "loss, %", "queue, kB"))]
    return Grid(["link", "direction", *("asked", "measured") * 4], sorted(rows), [True, True, *[False] * 8], [], above)


def _rate(one: Mapping[str, Any]) -> tuple[str, str]:
    """Asked and measured, in Mbit/s; without a shaper there is nothing to measure."""
    asked, measured = one.get("asked_bps"), one.get("measured_bps")
    return (f"{asked / 1e6:g}", f"{measured / 1e6:.2f}") if asked and measured else ("any", "")


def _delivery(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Delay and loss, asked and measured, in ms and per cent."""
    if found is None:
        return ("", "", "", "")
    lost = found["lost"] / found["sent"]
    return (
        f"{found['asked_ms']:g}", f"{found['mean_ms']:.2f}", f"{100 * found['asked_loss']:g}", f"{100 * lost:.2f}"
    )  # fmt: skip


def _depth(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Asked and measured, in kB; a queue that could not be filled has no measured one."""
    if found is None:
        return "", ""
    measured = found["measured_bytes"]
    return f"{found['asked_bytes'] / 1e3:g}", "not filled" if measured is None else f"{measured / 1e3:.1f}"


def _days(runs: Sequence[Run]) -> str:
    """The first and the last day of all sessions of some runs."""
    days = {str(session.get("began", ""))[:10] for run in runs for session in origin.sessions(run.manifest)} - {""}
    return " to ".join(sorted({min(days), max(days)})) if days else "on a day that was not recorded"


def _marked_up(text: str) -> Markup:
    """Paragraphs of a text as pages show them: what stands in backticks as code, what is indented as it stands."""
    return Markup("\n").join(map(_paragraph, filter(str.strip, text.split("\n\n"))))


def _paragraph(text: str) -> Markup:
    lines = text.strip("\n").split("\n")
    if all(line.startswith("    ") for line in lines):
        return Markup("<pre>{}</pre>").format(textwrap.dedent("\n".join(lines)))
    # Every second part stood in backticks.
    parts = re.split(r"`+([^`]+)`+", " ".join(text.split()))
    shown = [Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)]
    return Markup("<p>{}</p>").format(Markup("").join(shown))
