"""Playing all cells that were asked for, into a directory of evidence and one document of verdicts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from analysis.files import within
from testbed.errors import LabError
from testbed.host.namespace import use_own_network
from testbed.input.validation import unknown
from testbed.interop.features import SCENARIOS
from testbed.interop.features.mixed import over
from testbed.interop.judge import Verdict, judge
from testbed.interop.play import play, save
from testbed.interop.scenario import FAMILIES, ROLES, Cell
from testbed.runs.provenance import provenance
from testbed.runs.results import EXIT_CODES, FAILED
from testbed.show.progress import Display

EXPECTED_S = 2.5
"""Of a cell."""


def select(features: Sequence[str], families: Sequence[str], roles: Sequence[str]) -> list[Cell]:
    """The cells of these features, families and roles of ours, all where empty. LabError for unknown names."""
    chosen = _known("feature", features, SCENARIOS)
    wanted_families = _known("family", families, FAMILIES)
    wanted_roles = _known("role", roles, ROLES)
    cells = [
        Cell(over(SCENARIOS[name], FAMILIES[family]), role, FAMILIES[family])
        for name in chosen
        for role in wanted_roles
        for family in wanted_families
        if role in SCENARIOS[name].roles
    ]
    if not cells:
        raise LabError("none of these features is played in this role")
    return cells


def _known(kind: str, names: Sequence[str], allowed: Iterable[str]) -> list[str]:
    known = list(allowed)
    for name in names:
        if name not in known:
            raise LabError(unknown(kind, name, known))
    return [name for name in known if name in names or not names]


def new_directory(out: Path) -> Path:
    """A directory for one run's evidence, named by the time."""
    directory = within(out, "interop", datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    directory.mkdir(parents=True)
    return directory


def run(cells: Sequence[Cell], directory: Path, display: Display, at_once: int) -> dict[str, Any]:
    """Play the cells, `at_once` at a time, each in a network of its own; the document says what came of each.

    It is also in `directory/results.json`.
    """
    began = time.monotonic()
    records = []
    with playing(cells, directory, at_once) as outcomes:
        display.begin(len(cells), EXPECTED_S * len(cells) / at_once)
        try:
            for cell in cells:
                display.point_begins(cell.key, EXPECTED_S / at_once)
                record = next(outcomes)
                display.point_ends(record["key"], record["outcome"], record["why"], record["seconds"])
                records.append(record)
        finally:
            display.end()
    document = {
        "provenance": provenance(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "directory": str(directory),
        "seconds": round(time.monotonic() - began, 1),
        "features": {
            cell.scenario.name: {"title": cell.scenario.title, "section": cell.scenario.section} for cell in cells
        },
        "cells": records,
    }
    (directory / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    return document


@contextmanager
def playing(cells: Sequence[Cell], directory: Path, at_once: int) -> Iterator[Iterator[dict[str, Any]]]:
    """Play the cells, `at_once` at a time, during a block; gives what comes of each, in order.

    Forks when the block begins: a display gets its threads after that. What is still played when the block ends in an
    error is terminated.
    """
    with get_context("fork").Pool(at_once, use_own_network) as workers:
        yield workers.imap(partial(_record, directory), cells)
        # Not by a signal: a worker that is just about to wait for its next task would miss it, and wait for ever.
        workers.close()
        workers.join()


def _record(directory: Path, cell: Cell) -> dict[str, Any]:
    began = time.monotonic()
    verdict = _verdict(cell, directory / cell.key)
    return {
        "key": cell.key,
        "feature": cell.scenario.name,
        "ours": cell.ours,
        "family": cell.family.name,
        "outcome": verdict.outcome,
        "why": verdict.why,
        "build": verdict.build,
        "seconds": round(time.monotonic() - began, 2),
    }


def _verdict(cell: Cell, directory: Path) -> Verdict:
    try:
        evidence = play(cell, directory)
    except LabError as error:
        return Verdict(FAILED, [error.message])
    verdict = judge(evidence)
    save(evidence, verdict.why, directory)
    return verdict


def exit_code(document: dict[str, Any]) -> int:
    """0 when no cell failed."""
    return EXIT_CODES[FAILED] if any(cell["outcome"] == FAILED for cell in document["cells"]) else 0
