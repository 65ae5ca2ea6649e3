"""Where the connections of a time-sequence figure come from: capture files, or what collectors left of a point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import collected
from analysis.collected import Collected, UnreadableFile
from analysis.sequences import Connection, NoConnection, choose, events, pcap

COLLECTORS = ("pcap", "events")
"""Those that say enough; the first that ran is the default."""

Views = Mapping[str, Sequence[Connection]]
"""The connections as seen at each place."""


@dataclass(frozen=True)
class Source:
    """What was loaded; `name` is for file names."""

    name: str
    views: Views

    def choose(self, wanted: str | None, sender: str | None) -> tuple[Connection, str, Sequence[Connection]]:
        """Return a connection as the host saw it that sends, who that is (None: who sent more), and its neighbours.

        `wanted` as in `sequences.choose`. Raises NoConnection.
        """
        first = max(self.views.values(), key=len)
        chosen = choose(first, wanted)
        sender = sender or chosen.sender
        token = next(iter(chosen.tokens.values()))
        seen = [(one, view) for view in self.views.values() for one in view if token in one.tokens.values()]
        nearest, view = min(seen, key=lambda pair: pair[0].first_sent_s(sender))
        return nearest, sender, view


def load(paths: Sequence[Path], collector: str | None = None, host: str | None = None) -> Source:
    """Read capture files of one place, or the directory of a run's point (or of a run with one point).

    `collector` is one of COLLECTORS, `host` whose captures to take (None: the sender's). Raises NoConnection,
    UnreadableFile.
    """
    if not (len(paths) == 1 and paths[0].is_dir()):
        return Source(paths[0].name.partition(".pcap")[0], {"": pcap.connections(paths)})
    point = _point(paths[0])
    opened = _open(point, collector)
    name = f"{point.parent.parent.parent.name}-{point.parent.parent.name}-{point.name}".lstrip("-")
    if opened.name == "events":
        return Source(name, {"": events.connections(collected.load(point, "events"))})
    files = defaultdict(list)
    for path in opened.paths:
        files[path.name.split("-", 2)[1]].append(path)
    if host is not None and host not in files:
        raise NoConnection(f"{opened.directory}: no captures of host '{host}'; there are {', '.join(files)}")
    return Source(name, _captured({host: files[host]} if host else files))


def captures(paths: Sequence[Path]) -> list[Path]:
    """Return capture files: those given, or those of all hosts of a point's directory. Raises as `load` does."""
    if not (len(paths) == 1 and paths[0].is_dir()):
        return list(paths)
    return Collected.open(_point(paths[0]), "pcap").paths


def _captured(files: Mapping[str, Sequence[Path]]) -> Views:
    views, whys = {}, []
    for host, paths in files.items():
        try:
            views[host] = pcap.connections(paths)
        except NoConnection as error:  # a router with one path may have seen none
            whys.append(str(error))
    if not views:
        raise NoConnection(whys[0])
    return views


def _point(directory: Path) -> Path:
    """Return the point's directory that a user means. Raises NoConnection."""
    if (directory / collected.files.DIRECTORY).is_dir():
        return directory
    if (directory / collected.files.SIDECAR).exists():
        return directory.parent
    points = [found.parent for found in collected.collected_directories(directory)]
    if len(points) == 1:
        return points[0]
    if not points:
        raise NoConnection(f"{directory}: nothing was collected here; run with --collect {' or '.join(COLLECTORS)}")
    names = ", ".join(point.name for point in points)
    raise NoConnection(f"{directory}: name the directory of one point; those with collected files: {names}")


def _open(point: Path, name: str | None) -> Collected:
    """Return the files of a collector, or of the first that has some. Raises UnreadableFile."""
    whys = []
    for candidate in [name] if name else COLLECTORS:
        try:
            return Collected.open(point, candidate)
        except UnreadableFile as error:
            whys.append(str(error))
    raise UnreadableFile(whys[0])
