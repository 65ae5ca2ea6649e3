"""What the kernel's MPTCP announces of connections, subflows and addresses: `ip mptcp monitor`, with times added."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from testbed.collectors.base import NotApplicable, Place, Report, RunningCollector, Site
from testbed.collectors.programs import cpu_seconds
from testbed.errors import LabError, Unsupported
from testbed.host.process import START_LIMIT_S, STOP_LIMIT_S

COMMAND = ["ip", "mptcp", "monitor"]
FILE = "mptcp-monitor.jsonl"

_PORT, _GROUPS, _DROPS = 2, 3, 8
"""Columns of /proc/net/netlink."""


class MptcpMonitor(RunningCollector):
    """Lines of `ip mptcp monitor` of every host whose programs use the kernel, with the times of their reading."""

    name = "mptcp-monitor"
    summary = "the kernel's announcements of MPTCP connections, subflows and addresses"

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._monitors: list[_Monitor] = []
        self._file: TextIO | None = None

    def require(self, site: Site) -> None:
        if not Path("/proc/sys/net/mptcp").is_dir():
            raise Unsupported("this kernel has no MPTCP")
        if not _watched(site):
            raise NotApplicable(f"stack {site.stack.name} does not use the kernel's MPTCP")

    def start(self, site: Site) -> None:
        # Line by line: two threads write whole lines.
        self._file = (site.directory / FILE).open("w", buffering=1)
        for place in _watched(site):
            process = site.hosts[place.name].popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self._monitors.append(_Monitor(place, process, self._file))
        for monitor in self._monitors:
            monitor.await_start()

    def stop(self) -> Report:
        ended = [monitor.place.name for monitor in self._monitors if monitor.process.poll() is not None]
        report = Report([FILE], [COMMAND for _ in self._monitors])
        report.cpu_s = sum(cpu_seconds(monitor.process.pid) for monitor in self._monitors)
        lost = {monitor.place.name: monitor.lost_messages() for monitor in self._monitors}
        report.details["lost_messages"] = lost
        for monitor in self._monitors:
            monitor.stop()
        if self._file is not None:
            self._file.close()
        if ended:
            report.failure = f"ip mptcp monitor ended before the load did: {', '.join(ended)}"
        return report


def _watched(site: Site) -> list[Place]:
    return [place for place in site.places if not site.ours(place.name)]


class _Monitor:
    """One host's monitor, and the thread that reads it."""

    def __init__(self, place: Place, process: subprocess.Popen[str], file: TextIO) -> None:
        self.place, self.process, self._file = place, process, file
        self._reader = threading.Thread(target=self._read, name=f"mptcp-monitor {place.name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            reading = {"time_ns": time.monotonic_ns(), "host": self.place.name, "source": "monitor"}
            self._file.write(json.dumps(reading | {"text": line.rstrip()}) + "\n")

    def await_start(self) -> None:
        """Return when the kernel's announcements reach it. Raises LabError."""
        deadline = time.monotonic() + START_LIMIT_S
        while not self._sockets():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{self.place.name}: {' '.join(COMMAND)} does not listen", exit_code=1)
            time.sleep(0.005)

    def lost_messages(self) -> int:
        """Return how many announcements came too fast for it."""
        return sum(int(columns[_DROPS]) for columns in self._sockets())

    def _sockets(self) -> list[list[str]]:
        """Return the lines of the kernel's table about its socket, once that is in a group."""
        table = Path(f"/proc/{self.place.pid}/net/netlink").read_text().splitlines()[1:]
        lines = [line.split() for line in table]
        return [line for line in lines if line[_PORT] == str(self.process.pid) and int(line[_GROUPS], 16)]

    def stop(self) -> None:
        """End it, and read the rest of what it said."""
        self.process.terminate()
        self.process.wait(STOP_LIMIT_S)
        self._reader.join(STOP_LIMIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
