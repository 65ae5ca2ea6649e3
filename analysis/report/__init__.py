"""One document of all experiments: HTML to read, PDF to print, with nothing to fetch from elsewhere.

Each chapter has the figure and table of one experiment's latest run, how it was measured, how the links measured up,
the machine, and the command that makes it again. What failed or could not run is listed, never left out.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
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


@dataclass(frozen=True)
class Chapter:
    """One experiment in the report."""

    run: Run
    figure: str
    table: Grid
    calibration: Grid
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.run.manifest["experiment"])

    @property
    def method(self) -> list[str]:
        """How it was measured, by paragraphs."""
        return _paragraphs(self.run.manifest.get("method", ""))

    @property
    def limits(self) -> list[str]:
        """What this setting cannot reach of the original's, by paragraphs."""
        return _paragraphs(self.run.manifest.get("limits", ""))

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
    return Chapter(run, _svg(run), _grid(figures.table(run)), _calibration(run), origin.environment(run))


def _svg(run: Run) -> str:
    """The figure as a data URI: the page stays one file, and what names mean in one figure stays in it."""
    return f"data:image/svg+xml;base64,{b64encode(figures.picture(run, 'svg')).decode()}"


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
    """Every measured link and direction of every lab, those that were asked for alike together."""
    found: dict[str, list[str]] = {}
    for lab in run.manifest.get("labs", ()):
        for one in lab.get("calibration", ()):
            found.setdefault(f"{one['link']}, {one['direction']}", []).append(str(one.get("text", "")))
    rows = [[link, texts[-1], str(len(texts))] for link, texts in sorted(found.items())]
    return Grid(["link", "asked and measured, last time", "times"], rows, [True, True, False])


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]
