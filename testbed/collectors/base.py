"""What a collector is: something that watches hosts while a load runs and leaves raw files beside the result.

Two kinds. A :class:`SampledCollector` says what to read; one process reads for all of them, at their intervals, and
writes a line of JSON for each reading. A :class:`RunningCollector` starts and stops something of its own, such as a
program in each host. Either may also want options for our own generators (:meth:`Collector.program_options`).

Raw files are never changed after the load. ``collectors.json`` beside them says which collectors ran, with their
command lines, cost and clocks; the parsers are in ``analysis.collected``, under the same names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from testbed.errors import Unsupported
from testbed.input.validation import Frozen, validate
from testbed.units import TimeNs

if TYPE_CHECKING:
    from testbed.host.hosts import Host


class NotApplicable(Unsupported):
    """The stack under test has nothing of the kind, whatever the machine: no fault even where it was required."""


class Place(NamedTuple):
    """Where a host is: `pid` lives in its network namespace."""

    name: str
    pid: int
    interfaces: tuple[str, ...]


class WatchedStack(ABC):
    """What a collector asks of the stack under test."""

    name: ClassVar[str]

    @abstractmethod
    def runs_our_stack(self, host: str) -> bool:
        """Tell whether the programs in ``host`` use our own stack and not the kernel's."""


@dataclass(frozen=True)
class Site:
    """What is watched: the hosts of a lab by name, with the stack under test. Raw files go to `directory`."""

    hosts: Mapping[str, Host]
    stack: WatchedStack
    directory: Path

    @property
    def places(self) -> list[Place]:
        """Return where every host is."""
        return [Place(name, host.pid, tuple(host.interfaces)) for name, host in self.hosts.items()]

    def ours(self, host: str) -> bool:
        """Tell whether the programs in `host` use our own stack."""
        return self.stack.runs_our_stack(host)


@dataclass
class Report:
    """What a collector leaves: names of its files, what it ran, what it cost, what went wrong.

    `cpu_s` is the processor time of the collector's own processes or readings, None where it cannot be told (what
    the kernel or our stack does more on its account is not in it).
    """

    files: list[str] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    cpu_s: float | None = None
    failure: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Settings(Frozen):
    """What can be set with ``name+key=value``; a collector adds its own in a subclass."""


class Collector(ABC):
    """One way to watch a load. A user's own is a subclass in any importable module, named as ``module:Class``."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line: what is collected."""
    settings_type: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings: Any = validate(self.settings_type, dict(settings or {}), f"collector {self.name}", written=False)

    def require(self, site: Site) -> None:  # noqa: B027  # most can run everywhere
        """Raise :class:`Unsupported` with the reason when it cannot run here, or :class:`NotApplicable`."""

    def program_options(self, site: Site, host: str) -> list[str]:
        """Return further options for our generator that runs in `host`, a host that uses our stack."""
        return []

    def program_file(self, host: str) -> str | None:
        """Return the name of the file that such options make the generator in `host` write, None for none."""
        return None


class RunningCollector(Collector):
    """A collector that runs something of its own from `start` to `stop`."""

    @abstractmethod
    def start(self, site: Site) -> None:
        """Begin; return when nothing of the load would be missed. Raises :class:`LabError`."""

    @abstractmethod
    def stop(self) -> Report:
        """End, also after a `start` that failed, and leave nothing running."""


class Sampling(Settings):
    """What a sampled collector can be told: the time from one sample to the next."""

    interval: TimeNs = 100_000_000


class Source(NamedTuple):
    """One thing to read: `read` returns text, bytes or JSON values; None is no sample.

    `host` is empty for what concerns the whole machine. `name` tells the sources of a collector apart.
    """

    host: str
    name: str
    read: Callable[[], Any]


class SampledCollector(Collector):
    """A collector whose sources are read again and again.

    :meth:`sources` is called in the sampling process, everything else in the runner's. The file is named after
    the collector and holds one JSON document a line: ``time_ns`` (CLOCK_MONOTONIC, before the reading), ``host``,
    ``source``, and ``text``, ``base64`` or ``value``. All sources are read once at the beginning and at the end.
    """

    settings_type: ClassVar[type[Settings]] = Sampling
    stack_samples: ClassVar[str | None] = None
    """What our generators sample of our stack, where that runs: a name of `testbed.loadgen.samples.KINDS`."""

    @property
    def file(self) -> str:
        """Return the name of its raw file."""
        return f"{self.name}.jsonl"

    def places(self, site: Site) -> list[Place]:
        """Return the hosts whose kernel is watched; by default not those where our stack is asked instead."""
        return [place for place in site.places if self.stack_samples is None or not site.ours(place.name)]

    def program_options(self, site: Site, host: str) -> list[str]:
        if self.stack_samples is None:
            return []
        interval_s = self.settings.interval / 1e9
        return ["--sample", f"{self.stack_samples},{host},{interval_s:g},{site.directory / self.stack_file(host)}"]

    def program_file(self, host: str) -> str | None:
        return None if self.stack_samples is None else self.stack_file(host)

    def stack_file(self, host: str) -> str:
        """Return the name of the file that has our stack's own samples."""
        return f"{self.name}-{host}.jsonl"

    @abstractmethod
    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Open what is read. Raises OSError with what this kernel lacks."""
