"""What the documents say of measurements, written from the results that are kept with the project.

In a document, what stands between two comments is written by `./lab docs`, on lines of its own or within one:

    <!-- kept: table fairness -->
    ...
    <!-- /kept -->

`table NAME` is when, where and of which code the kept run of the experiment NAME was measured, and its table;
`run NAME` the first of them alone; `said NAME` the sentences that the notebook of NAME computes, and which build of our
stack they are of. A picture in `docs/figures/` with an experiment's name is that experiment's figure, of its kept run;
`timesequence.png` is of captures that the tests have.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Tick
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import Image

from analysis import builds, figures, files, notebooks, origin, style
from analysis.errors import AnalysisError
from analysis.figures import time_sequence
from analysis.load import Run
from analysis.notebooks.tools.run import said
from analysis.sequences import sources

PROJECT = notebooks.PROJECT

_BLOCK: Final = re.compile(r"(?<!`)(<!-- kept: (.*?) -->)(\n?)(.*?)(<!-- /kept -->)", re.DOTALL)
_OPENING: Final = re.compile(r"(?<!`)<!-- kept: ")
_TIME_SEQUENCE: Final = "timesequence"
_CAPTURES: Final = PROJECT / "tests" / "analysis" / "data" / "captures"
"""A picture that is of no experiment, and what it is drawn from."""
_SHOWS: Final = "Description"
"""The text in a PNG file that says what it shows."""


class WrongDocument(AnalysisError):
    """A document that asks for what there is not; the message is one line."""


def write() -> list[Path]:
    """Bring documents and their figures up to the kept results; return what was written. Raises WrongDocument."""
    for path, content in (changed := dict(_differing())).items():
        files.replace(path, content())
    return list(changed)


def differing() -> list[Path]:
    """Return which documents and figures say something else than the kept results. Raises WrongDocument."""
    return [path for path, _ in _differing()]


def stale() -> list[str]:
    """Return the experiments whose kept results are of other code than is here."""
    return [run.manifest["experiment"] for run in notebooks.kept_runs() if run.stale]


def documents() -> list[Path]:
    """Return the documents of the project."""
    return sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md")])


def pictures() -> list[Path]:
    """Return the pictures in the documents that are figures, and of what is kept."""
    known = {*notebooks.kept_names(), _TIME_SEQUENCE}
    return [path for path in sorted((PROJECT / "docs" / "figures").glob("*.png")) if path.stem in known]


def by_hand(text: str) -> str:
    """Return a document without what is written from kept results."""
    return _BLOCK.sub("", text)


def shows(figure: Figure) -> str:
    """Return what names the words and numbers that a figure is made of, whatever it looks like."""
    digest = hashlib.sha256()
    # Of keys and ticks the words alone: how many ticks there are is a matter of size.
    worded = [part for kind in (Legend, Tick) for one in figure.findobj(kind) for part in one.findobj()]
    looks = {part for part in worded if not isinstance(part, Text)}
    for artist in figure.findobj():
        if artist not in looks:
            digest.update(_content(artist).encode())
    return f"content {digest.hexdigest()[:16]}"


def _differing() -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Yield what is not as the kept results have it, and how to get its content."""
    for path in (*documents(), *pictures()):
        if fresh := renewed(path):
            yield path, fresh


def renewed(path: Path) -> Callable[[], bytes] | None:
    """Return how to get the content of a document or a picture when it is not as the kept results have it."""
    if path.suffix == ".png":
        figure = _drawn(path.stem)
        what = shows(figure)
        return None if _shown(path) == what else lambda: _png(figure, what)
    text = files.read_text(path)
    fresh = _written(path, text)
    return None if fresh == text else fresh.encode


def _drawn(name: str) -> Figure:
    style.apply()
    if name != _TIME_SEQUENCE:
        return figures.draw(_kept_run(name))
    connection, sender, _ = sources.load(sorted(_CAPTURES.glob("*.pcap"))).choose(None, None)
    return time_sequence.draw(connection.marks(sender), connection.subflows)


def _written(path: Path, text: str) -> str:
    """A document with its blocks as the kept results have them."""
    if len(_BLOCK.findall(text)) != len(_OPENING.findall(text)):
        raise WrongDocument(f"{path}: a comment 'kept: ...' has no '/kept' before the next")

    def block(match: re.Match[str]) -> str:
        begin, words, newline, _, end = match.groups()
        return f"{begin}{newline}{_block(path, words)}{newline}{end}"

    return _BLOCK.sub(block, text)


def _block(path: Path, words: str) -> str:
    kind, _, name = words.partition(" ")
    if kind not in _KINDS or name not in notebooks.kept_names():
        raise WrongDocument(
            f"{path}: 'kept: {words}': needs one of {', '.join(_KINDS)}, and an experiment whose results are kept"
        )
    return _KINDS[kind](_kept_run(name))


class _AsMeasured(Run):
    """A run as a document tells of it: it names the commit, and does not change whenever the code does."""

    @property
    def stale(self) -> str:
        """Nothing: what stands there is of the commit that stands there."""
        return ""


def _kept_run(name: str) -> Run:
    (run,) = notebooks.kept_runs(name)
    return _AsMeasured(run.path, run.manifest, run.points)


def _origin(run: Run) -> str:
    facts = origin.environment(run)
    return (
        f"Measured {facts['measured']} at {facts['commit']} on {facts['processors']}, {facts['kernel']}, scale "
        f"{facts['scale']}, {origin.outcomes(run)}: `{origin.command(run)}`"
    )


def _table(run: Run) -> str:
    """The table that a terminal gets, with where it is from and its notes."""
    table = figures.table(run)
    headings = [_cell(column.header) for column in table.columns]
    rules = ["---" if column.justify == "left" else "--:" for column in table.columns]
    rows = zip(*([_cell(cell) for cell in column.cells] for column in table.columns), strict=True)
    lines = [headings, rules, *(row for row in rows if any(row))]
    notes = [f"{note}." for note in str(table.caption or "").splitlines()]
    return "\n".join([f"{_origin(run)}.", "", *(f"| {' | '.join(line)} |" for line in lines), *_paragraph(notes)])


def _cell(content: object) -> str:
    return " ".join(str(content).split()).replace("|", r"\|")


def _paragraph(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _said(run: Run) -> str:
    if not (texts := said(name := run.manifest["experiment"])):
        raise WrongDocument(f"the notebook of {name} says nothing: a cell's last expression is a 'notebooks.say(...)'")
    notes = [f"{note}." for note in [builds.caption(run)] if note]
    return "\n".join([*(f"- {text}" for text in texts), *_paragraph(notes)])


_KINDS: Final[Mapping[str, Callable[[Run], str]]] = {"table": _table, "run": _origin, "said": _said}


def _png(figure: Figure, what: str) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None, _SHOWS: what})
    return content.getvalue()


def _shown(path: Path) -> str | None:
    """What a picture says that it shows."""
    try:
        with Image.open(path) as image:
            return image.info.get(_SHOWS)
    except OSError:
        return None


def _content(artist: Artist) -> str:
    """The numbers and words of one part of a figure, before they have places on paper."""
    if isinstance(artist, Text):
        return artist.get_text()
    if isinstance(artist, Line2D):
        return _numbers(artist.get_xydata())
    if isinstance(artist, Collection):
        return " ".join([_numbers(artist.get_offsets()), *(_numbers(path.vertices) for path in artist.get_paths())])
    if isinstance(artist, Patch):
        return _numbers(artist.get_patch_transform().transform_path(artist.get_path()).vertices)
    return _numbers(artist.get_array()) if isinstance(artist, AxesImage) else ""


def _numbers(values: object) -> str:
    """Numbers to five digits: what comes after them may be another processor's rounding."""
    numbers: list[float] = np.ma.filled(np.ma.asarray(values, float), np.nan).ravel().tolist()
    return " ".join(f"{number:.5g}" for number in numbers)
