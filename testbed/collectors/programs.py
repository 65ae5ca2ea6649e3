"""Collectors that are programs in the hosts: started, told to end, their processor time read before they do."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from testbed.collectors.base import Report, RunningCollector, Site
from testbed.host.process import Program, tail


class Order(NamedTuple):
    """A program to run in `host`; its output goes to files that begin with `name`."""

    host: str
    name: str
    argv: Sequence[str]


class ProgramCollector(RunningCollector):
    """A collector that runs programs in hosts."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._directory = Path()
        self._programs: list[tuple[Order, Program]] = []

    @abstractmethod
    def orders(self, site: Site) -> Iterable[Order]:
        """Return the programs to run."""

    @abstractmethod
    def ready(self, program: Program) -> bool:
        """Tell whether a program has begun to watch."""

    @abstractmethod
    def files(self, directory: Path, order: Order) -> Iterable[Path]:
        """Return the raw files that a program left; called when it has ended."""

    def details(self, order: Order, program: Program) -> dict[str, Any]:
        """Return more to report of a program that has ended."""
        return {}

    def start(self, site: Site) -> None:
        self._directory = site.directory
        for order in self.orders(site):
            stdout, stderr = (site.directory / f"{order.name}.{stream}" for stream in ("stdout", "stderr"))
            with stdout.open("wb") as out, stderr.open("wb") as err:
                process = site.hosts[order.host].popen(list(order.argv), stdout=out, stderr=err)
            self._programs.append((order, Program(order.name, process, stdout, stderr)))
        for _, program in self._programs:
            program.await_start(self.ready)

    def stop(self) -> Report:
        report = Report(cpu_s=0.0)
        for order, program in self._programs:
            report.commands.append(list(order.argv))
            report.cpu_s = (report.cpu_s or 0.0) + cpu_seconds(program.process.pid)
            if program.process.poll() is not None:
                report.failure = f"{order.name} ended before the load did: {program.last_words()}"
            program.process.terminate()
        for order, program in self._programs:
            program.stop()
            report.files += [path.name for path in self.files(self._directory, order)]
            report.details |= self.details(order, program)
            for output in (program.stdout, program.stderr):
                if not tail(output) and output.name not in report.files:
                    output.unlink()
        return report


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far; 0 when it is gone or the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError):
        return 0.0
