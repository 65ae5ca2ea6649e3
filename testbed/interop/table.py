"""The table of all verdicts, for a terminal and as Markdown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from testbed.interop.scenario import FAMILIES, ROLES
from testbed.runs.results import FAILED, PASSED, UNSUPPORTED

_SHORT = {PASSED: "pass", FAILED: "FAIL", UNSUPPORTED: "no"}
_STYLE = {PASSED: "green", FAILED: "bold red", UNSUPPORTED: "yellow"}
_EXPLANATION = (
    "`pass`: both applications got every byte, the counters of both sides and the options on the wire are as expected,"
    " and tshark found no packet malformed. `no`: unsupported, the reason is below. An empty place: the feature is one"
    " of the other role. `v4+v6`: begun over IPv4, joined over IPv6; `v6+v4` the other way round."
)


def console_table(document: dict[str, Any]) -> Table:
    """Features by role and family."""
    table = Table(
        title=_title(document), caption=_counts(document), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("feature", no_wrap=True)
    columns = _columns(document)
    for role, family in columns:
        table.add_column(f"{role}\n{family}")
    for name in document["features"]:
        cells = [_outcome(document, name, column) for column in columns]
        table.add_row(name, *(Text(_SHORT[one], _STYLE[one]) if one else "" for one in cells))
    return table


def markdown(document: dict[str, Any]) -> str:
    """The same with titles and sections, and the reasons of what did not pass."""
    columns = _columns(document)
    lines = [f"{_title(document)}: {_counts(document)}.", "", _origin(document), "", _EXPLANATION, ""]
    lines.append("| feature | source | " + " | ".join(f"ours is {role}, {family}" for role, family in columns) + " |")
    lines.append("|---" * (2 + len(columns)) + "|")
    for name, about in document["features"].items():
        cells = [_SHORT.get(_outcome(document, name, column), "") for column in columns]
        lines.append(f"| {about['title']} (`{name}`) | {about['section']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_reasons(document)]) + "\n"


def reasons(document: dict[str, Any]) -> list[str]:
    """Why cells did not pass, one line for each feature and reason."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for cell in document["cells"]:
        if cell["outcome"] != PASSED:
            why = "; ".join(cell["why"])
            places.setdefault((cell["feature"], cell["outcome"], why), []).append(f"{cell['ours']} {cell['family']}")
    return [f"{feature} {outcome} ({', '.join(columns)}): {why}" for (feature, outcome, why), columns in places.items()]


def _reasons(document: dict[str, Any]) -> list[str]:
    found = reasons(document)
    return ["", "Not passed:", "", *(f"- {line}" for line in found)] if found else []


def _title(document: dict[str, Any]) -> str:
    return f"Interoperability with {' '.join(document['provenance']['kernel'].split()[:2])}"


def _origin(document: dict[str, Any]) -> str:
    """When, of which code and on which machine it was played, and how it is again."""
    where: dict[str, Any] = document["provenance"]
    commit = f"{str(where['git']['commit'])[:10]}{' with changes' if where['git']['dirty'] else ''}"
    machine = f"{len(where['cpu']['usable'])} x {where['cpu']['model']}"
    again = "`sudo ./lab interop --markdown docs/interop-table.md`"
    return f"Measured {document['time'][:10]} at {commit} ({where['build']}) on {machine}: {again}."


def _counts(document: dict[str, Any]) -> str:
    counts = Counter(cell["outcome"] for cell in document["cells"])
    each = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _SHORT)
    return f"{counts.total()} cells, {each}, in {document['seconds'] / 60:.1f} minutes"


def _columns(document: dict[str, Any]) -> list[tuple[str, str]]:
    played = {(cell["ours"], cell["family"]) for cell in document["cells"]}
    return [(role, family) for role in ROLES for family in FAMILIES if (role, family) in played]


def _outcome(document: dict[str, Any], feature: str, column: tuple[str, str]) -> str:
    return next(
        (
            str(cell["outcome"])
            for cell in document["cells"]
            if cell["feature"] == feature and (cell["ours"], cell["family"]) == column
        ),
        "",
    )
