"""The code of a result, as bytes: what took part in a point, and what of it has changed since.

A part of the code is named by

- a tree of the project, `mptcp_stack` or `testbed`: every file in it that programs read,
- a file: of the project by its path there (`experiments/handover.py`), a user's by its path below the place that Python
  found it in (`mine.py`, `package/module.py`).

Points record the SHA-256 of their parts. Where one differs from the same part of the project that looks at the results
(its bytes, not its commit), they are *stale*: of other code.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).resolve().parent.parent

TREES: Final[Mapping[str, frozenset[str]]] = {
    "mptcp_stack": frozenset({"_compiled"}),
    "testbed": frozenset({"checks.py", "cli", "doctor.py", "show"}),
}
"""Folders of the project that count as a whole, each with what in it neither builds, loads nor measures a lab, and what
is made of the rest."""

_OF_THE_PROJECT: Final = ("analysis", "examples", "experiments", "topologies")
"""Where files of the project are that are parts by themselves."""

_READ: Final = frozenset({".py", ".j2", ".so"})
"""What programs of the project read of a tree. Left out is what editors, Python and others leave there."""


def part_bytes(part: str) -> bytes | None:
    """What a file that is a part consists of here and now; None when it is not here."""
    if part.startswith("/") or ".." in part.split("/"):  # a manifest may be anybody's
        return None
    found = next((path for place in (PROJECT, *map(Path, sys.path)) if (path := place / part).is_file()), None)
    return None if found is None else found.read_bytes()


def digest(content: bytes) -> str:
    """How a part is known."""
    return hashlib.sha256(content).hexdigest()


def tree_digest(name: str) -> str:
    """How a tree of the project is known: by the names and bytes of its files."""
    whole = hashlib.sha256()
    for path in tree_files(PROJECT / name, TREES[name]):
        content = path.read_bytes()
        whole.update(f"{path.relative_to(PROJECT)}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()


def tree_stamp(name: str) -> tuple[tuple[str, int, int, int], ...]:
    """What a change of a tree changes, too, and is quicker to read than all of its bytes."""
    stats = [(str(path), path.stat()) for path in tree_files(PROJECT / name, TREES[name])]
    return tuple((path, stat.st_ino, stat.st_size, stat.st_ctime_ns) for path, stat in stats)


def tree_files(folder: Path, without: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files of a tree that programs read, in order; names that begin with a dot are an editor's."""
    for path in sorted(folder.iterdir()):
        if path.name in without or path.name.startswith((".", "__pycache__")):
            continue
        if path.is_dir():
            yield from tree_files(path)
        elif path.suffix in _READ:
            yield path


def current(part: str) -> str | None:
    """How a part is known here and now; of the project "" when it is not here, of a user None."""
    if part in TREES:
        return tree_digest(part)
    content = part_bytes(part)
    if content is None:
        return "" if part.partition("/")[0] in _OF_THE_PROJECT else None
    return digest(content)


def changed(parts: Mapping[str, str], now: Mapping[str, str | None]) -> list[str]:
    """Which of a point's `parts` are others `now`. A user's file that is not here says nothing."""
    return [part for part, known in parts.items() if now.get(part) not in (None, known)]


def staleness(codes: Sequence[Mapping[str, Any]], measured: int) -> str:
    """In a few words, whether a run is of the code that is here: "" if it is, else what differs.

    `codes` are the manifest's: the parts, and how many points have them; `measured` points have a row in its table.
    """
    now = {part: current(part) for part in {part for code in codes for part in code["parts"]}}
    different: dict[str, None] = {}
    stale = measured - sum(code["points"] for code in codes)
    unknown = stale > 0
    for code in codes:
        found = changed(code["parts"], now)
        unknown = unknown or not code["parts"]
        different |= dict.fromkeys(found)
        stale += code["points"] if found or not code["parts"] else 0
    if stale <= 0:
        return _mixed(codes)
    points = "measured" if stale >= measured else f"{stale} of {measured} points"
    reasons = [f"with other code ({', '.join(sorted(different))})"] if different else []
    reasons += ["before results recorded their code"] if unknown else []
    return f"stale: {points} {' or '.join(reasons)}"


def _mixed(codes: Sequence[Mapping[str, Any]]) -> str:
    """What the points of one run have several versions of, where none of them is here."""
    versions: dict[str, set[str]] = {}
    for code in codes:
        for part, known in code["parts"].items():
            versions.setdefault(part, set()).add(known)
    several = sorted(part for part, known in versions.items() if len(known) > 1)
    return f"stale: points of several versions of {', '.join(several)}" if several else ""
