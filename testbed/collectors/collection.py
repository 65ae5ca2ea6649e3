"""The collectors of one load: started before it, stopped after it whatever happened, reported one by one."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from testbed.collectors import create
from testbed.collectors.base import Collector, NotApplicable, Report, RunningCollector, SampledCollector, Site
from testbed.collectors.sampling import Sampler
from testbed.errors import LabError, Unsupported
from testbed.input.plugins import reason

FORMAT = 1
"""Version of collectors.json and of the files that it names."""

DIRECTORY = "collected"
"""Where a point's raw files of collectors are; a second load of one point has `collected-2`."""

SIDECAR = "collectors.json"

RAN, FAILED, UNSUPPORTED, NOT_APPLICABLE = "ran", "failed", "unsupported", "not applicable"
"""What came of a collector."""


@dataclass(frozen=True)
class Wanted:
    """The collectors of a load, by name, with settings. A point fails without those that are `required`."""

    required: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


NOTHING = Wanted()


@dataclass
class _Member:
    """A collector, and what came of it so far."""

    collector: Collector
    required: bool
    outcome: str = RAN
    why: str | None = None
    report: Report = field(default_factory=Report)

    def end(self, outcome: str, why: str) -> None:
        """Note that it does not run, or not any longer."""
        self.outcome, self.why = outcome, why

    def record(self) -> dict[str, Any]:
        """Return what the manifest says of it (JSON)."""
        settings = self.collector.settings.model_dump(mode="json")
        report = asdict(self.report)
        del report["failure"]
        return {"outcome": self.outcome, "why": self.why, "required": self.required, "settings": settings, **report}


class Collection:
    """All collectors of one load, running inside its `with` block. Without any it does nothing at all.

    Entering raises :class:`Unsupported` or :class:`LabError` when a required collector cannot run.
    """

    def __init__(self, wanted: Wanted, site: Site) -> None:
        self._members: dict[str, _Member] = {}
        for collector in map(create, wanted.required):
            self._members[collector.name] = _Member(collector, required=True)
        for collector in map(create, wanted.added):
            # One that is required anyway may be given other settings.
            self._members[collector.name] = _Member(collector, required=collector.name in self._members)
        self._site = Site(site.hosts, site.stack, _free_directory(site.directory))
        self._sampler = Sampler(self._site)
        self._started: list[_Member] = []
        self._clocks: list[dict[str, int]] = []
        self._workload: dict[str, int] = {}
        self.programs_cpu_s = 0.0
        """Processor time of the programs that ran, and ended, during the load."""

    def __enter__(self) -> Collection:
        if self._members:
            self._site.directory.mkdir()
            self._clocks.append(_clock())
            for member in self._members.values():
                self._check(member)
            try:
                self._start()
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._members:
            self._stop()

    def program_options(self, host: str) -> list[str]:
        """Return further options for our generator in `host`."""
        if not self._site.ours(host):
            return []
        alive = [member.collector for member in self._members.values() if member.outcome == RAN]
        return [option for collector in alive for option in collector.program_options(self._site, host)]

    @contextmanager
    def workload(self) -> Iterator[None]:
        """Note when the load, the block, began and ended, and what its programs used."""
        self._workload["began_ns"], used_s = time.monotonic_ns(), _ended_programs_cpu_seconds()
        try:
            yield
        finally:
            self._workload["ended_ns"] = time.monotonic_ns()
            self.programs_cpu_s = _ended_programs_cpu_seconds() - used_s

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """What came of each collector (JSON)."""
        return {name: member.record() for name, member in self._members.items()}

    @property
    def problems(self) -> list[str]:
        """Which required collectors failed, in the user's words."""
        return [
            f"collector {name}: {member.why}"
            for name, member in self._members.items()
            if member.required and member.outcome == FAILED
        ]

    def _check(self, member: _Member) -> None:
        """Find out whether a collector can run here."""
        try:
            member.collector.require(self._site)
        except NotApplicable as error:
            member.end(NOT_APPLICABLE, error.message)
        except Unsupported as error:
            if member.required:
                raise Unsupported(f"collector {member.collector.name}: {error.message}") from None
            member.end(UNSUPPORTED, error.message)

    def _start(self) -> None:
        members = [member for member in self._members.values() if member.outcome == RAN]
        for member in members:
            if isinstance(member.collector, RunningCollector):
                self._started.append(member)
                try:
                    member.collector.start(self._site)
                except Exception as error:
                    self._fail(member, FAILED, reason(error))
        sampled = [
            collector
            for collector in (member.collector for member in members)
            if isinstance(collector, SampledCollector) and collector.places(self._site)
        ]
        try:
            refused = self._sampler.start(sampled)
        except (LabError, OSError) as error:
            for collector in sampled:
                self._fail(self._members[collector.name], FAILED, reason(error))
        else:
            for name, why in refused.items():
                self._fail(self._members[name], UNSUPPORTED, why)

    def _fail(self, member: _Member, outcome: str, why: str) -> None:
        if member.required:
            kind = Unsupported if outcome == UNSUPPORTED else LabError
            raise kind(f"collector {member.collector.name}: {why}")
        member.end(outcome, why)

    def _stop(self) -> None:
        """Stop all, each whatever comes of the others, and write the sidecar."""
        reports: dict[str, Report] = self._sampler.stop()
        for member in reversed(self._started):
            assert isinstance(member.collector, RunningCollector)
            try:
                reports[member.collector.name] = member.collector.stop()
            except Exception as error:
                # A mistake in one collector must not cost the load's result, nor leave the others running.
                reports[member.collector.name] = Report(failure=reason(error))
        for name, report in reports.items():
            member = self._members[name]
            member.report = report
            if report.failure and member.outcome == RAN:
                member.end(FAILED, report.failure)
        for member in self._members.values():
            self._add_program_files(member)
        self._clocks.append(_clock())
        document = {
            "format": FORMAT,
            "clock": "CLOCK_MONOTONIC",
            "clocks": self._clocks,
            "workload": self._workload,
            "stack": self._site.stack.name,
            "hosts": {
                place.name: {"interfaces": place.interfaces, "our_stack": self._site.ours(place.name)}
                for place in self._site.places
            },
            "collectors": self.records,
        }
        (self._site.directory / SIDECAR).write_text(json.dumps(document, indent=2) + "\n")

    def _add_program_files(self, member: _Member) -> None:
        """Note what our generators wrote for a collector."""
        for host in filter(self._site.ours, (place.name for place in self._site.places)):
            file = member.collector.program_file(host)
            if file is not None and (self._site.directory / file).exists():
                member.report.files.append(file)


def _clock() -> dict[str, int]:
    """Return one moment on both clocks: what relates the raw files to the time of day."""
    return {"monotonic_ns": time.monotonic_ns(), "wall_ns": time.time_ns()}


def _ended_programs_cpu_seconds() -> float:
    """Return the processor time of all programs that this process started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _free_directory(point: Path) -> Path:
    """Return the directory for this load's raw files, not made yet."""
    taken = sum(1 for _ in point.glob(f"{DIRECTORY}*"))
    return point / (f"{DIRECTORY}-{taken + 1}" if taken else DIRECTORY)
