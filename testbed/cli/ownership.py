"""What a command under sudo makes belongs to whom it was made for: results, figures, captures, reports.

`watch` notes what root has in a place before the command, `hand_over` gives away what came since. The place is
somebody else's, who may change it meanwhile: it is held by descriptors, no link is followed, and a file with a second
name elsewhere stays root's. In a directory that is not theirs, as /tmp, root has more to do than this command: there
only what has the names of the lab's, and what holds runs, is handed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

_PROJECT: Final = Path(__file__).resolve().parents[2]
_CACHES: Final = (".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache")
"""What `./lab test` leaves in the checkout."""
_KEPT: Final = ("analysis/notebooks/results", "docs", "README.md")
MADE_OF_RUNS: Final = ("figures", "kept", "notebooks", "report")
"""Beside the runs, where results are: no experiment can have such a name."""
_IN_RESULTS: Final = (*MADE_OF_RUNS, "interop")
_PACKAGES: Final = ("analysis", "experiments", "mptcp_stack", "testbed", "tests")


Place = TypeVar("Place", Path, Path | None)


class _Place(NamedTuple):
    """Where a command writes: a name in a directory, and what root had there before."""

    directory: int
    name: str
    shared: bool
    known: frozenset[tuple[int, ...]] = frozenset()


_places: list[_Place] = []


def receiver() -> tuple[int, int] | None:
    """User and group for whom this process works as root, by sudo's word; None when for nobody else."""
    try:
        user, group = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    except (KeyError, ValueError):
        return None
    return (user, group) if os.geteuid() == 0 and user > 0 and group >= 0 else None


def watch(path: Place) -> Place:
    """Note what is at `path` before a command writes there; returns `path`: the callback of an option."""
    owner = receiver()
    if path is None or owner is None:
        return path
    top = path.absolute()
    with suppress(OSError, RuntimeError, ValueError, RecursionError):
        top = top.resolve()
        while not os.path.lexists(top.parent):
            top = top.parent
        directory = os.open(top.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        place = _Place(directory, top.name or ".", shared=top.is_dir() and top.stat().st_uid != owner[0])
        known = frozenset(_identity(status) for _, status in _of_place(place) if status.st_uid == 0)
        _places.append(place._replace(known=known))
    return path


def watch_checkout() -> None:
    """Note what a run of the project's own checks may leave in the checkout."""
    for name in _CACHES:
        watch(_PROJECT / name)


def watch_kept() -> None:
    """Note what there is of kept results, and of the documents that are written from them."""
    for name in _KEPT:
        watch(_PROJECT / name)


def hand_over() -> None:
    """Give what root made in the watched places since, and Python's caches, to whom they were made for."""
    owner = receiver()
    while _places:
        place = _places.pop()
        with suppress(OSError, RecursionError):
            for descriptor, status in _of_place(place):
                if owner is not None and status.st_uid == 0 and _identity(status) not in place.known:
                    os.fchown(descriptor, *owner)
        os.close(place.directory)
    if owner is not None:
        _give_caches(owner)


def _give_caches(owner: tuple[int, int]) -> None:
    """Compiled Python in a checkout that is the user's is the user's: they cannot replace root's."""
    for cache in (cache for package in _PACKAGES for cache in (_PROJECT / package).glob("**/__pycache__")):
        with suppress(OSError, RecursionError):
            directory = os.open(cache.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(directory).st_uid == owner[0]:
                    for descriptor, status in _entries(directory, cache.name):
                        if status.st_uid == 0:
                            os.fchown(descriptor, *owner)
            finally:
                os.close(directory)


def _of_place(place: _Place) -> Iterator[tuple[int, os.stat_result]]:
    """What there is in a place that may be the command's, as `_entries` gives it."""
    if not place.shared:
        yield from _entries(place.directory, place.name)
        return
    with suppress(OSError):
        directory = os.open(
            place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory
        )
        try:
            for name in os.listdir(directory):
                if name in _IN_RESULTS or _holds_runs(directory, name):
                    yield from _entries(directory, name)
        finally:
            os.close(directory)


def _holds_runs(directory: int, name: str) -> bool:
    with suppress(OSError):
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            for run in os.listdir(inner):
                with suppress(OSError):
                    os.stat(f"{run}/manifest.json", dir_fd=inner, follow_symlinks=False)
                    return True
        finally:
            os.close(inner)
    return False


def _entries(directory: int, name: str) -> Iterator[tuple[int, os.stat_result]]:
    """Directories and plain files of one name, at `name` and below, each with an open descriptor."""
    try:
        kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):  # to open others may do something
            return
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:  # not there, or a link by now
        return
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            yield descriptor, status
            for entry in os.listdir(descriptor):
                yield from _entries(descriptor, entry)
        elif stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            yield descriptor, status
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """What stays the same of a directory while its entries change, and of a file until it is written or replaced."""
    changed = () if stat.S_ISDIR(status.st_mode) else (status.st_ctime_ns,)
    return (status.st_dev, status.st_ino, *changed)
