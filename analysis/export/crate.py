"""The metadata of a data set for machines: an RO-Crate, which says of each file what it is, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analysis import origin
from analysis.export.texts import LICENCES, day
from analysis.load import Run

_TYPES: Final[Mapping[str, str]] = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".cff": "application/yaml",
    ".py": "text/x-python",
}


def write(
    runs: Sequence[Run], folder: Path, described: Mapping[str, str], title: str, authors: Sequence[str], licence: str
) -> None:
    """Write ro-crate-metadata.json for the files of `folder`, by place what each is."""
    from rocrate.model import ContextEntity, Person
    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    crate.name = title
    crate.description = f"Results of {len(runs)} runs of mptcp-lab, a laboratory for Multipath TCP"
    crate.datePublished = day(runs)
    crate.license = crate.add(ContextEntity(crate, LICENCES[licence], _entity("CreativeWork", licence)))
    people = [crate.add(Person(crate, f"#author-{place}", {"name": name})) for place, name in enumerate(authors, 1)]
    crate.creator = people
    lab = crate.add(ContextEntity(crate, "#mptcp-lab", _entity("SoftwareApplication", "mptcp-lab")))
    files = {
        place: crate.add_file(folder / place, place, properties=_of_file(folder / place, what))
        for place, what in sorted(described.items())
    }
    for run in runs:
        action = crate.add(ContextEntity(crate, f"#{run.name}", _of_run(run)))
        action["instrument"], action["agent"] = lab, people
        own = f"data/{run.manifest['experiment']}/"
        action["result"] = [entity for place, entity in files.items() if place.startswith((own, f"runs/{run.name}/"))]
    crate.metadata.write(folder)


def _entity(kind: str, name: str) -> dict[str, str]:
    return {"@type": kind, "name": name}


def _of_file(path: Path, what: str) -> dict[str, Any]:
    return {
        "name": path.name,
        "description": what,
        "encodingFormat": _TYPES.get(path.suffix, "text/plain"),
        "contentSize": str(path.stat().st_size),
    }


def _of_run(run: Run) -> dict[str, str]:
    """Return the measurement as an action: with which command, when, of which code and on which machine."""
    facts = origin.environment(run)
    began = [str(one.get("began", "")) for one in origin.sessions(run.manifest)]
    return {
        **_entity("CreateAction", f"{run.manifest['title']}: {origin.command(run)}"),
        "startTime": min(began),
        "description": f"{origin.outcomes(run)}; commit {facts['commit']}; {origin.machine(run)}"
        + (f"; {run.stale}" if run.stale else ""),
    }
