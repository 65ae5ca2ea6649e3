"""Packets as the interfaces of the hosts see them: one tcpdump an interface."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from testbed.collectors.base import Settings, Site
from testbed.collectors.programs import Order, ProgramCollector
from testbed.errors import Unsupported
from testbed.host.process import Program, tail
from testbed.units import SizeBytes

_MEGABYTE = 1_000_000
_COUNTS = re.compile(r"(\d+) packets? (captured|received by filter|dropped by kernel)")


class PcapSettings(Settings):
    """`snap`: bytes kept of each packet; by default all headers, with IPv6 and every option.

    Captures are split into files of `file_size`, of which the last `files` are kept.
    """

    snap: SizeBytes = 160
    file_size: SizeBytes = Field(default=100 * _MEGABYTE, ge=_MEGABYTE)
    files: int = Field(default=10, ge=1)
    filter: str = ""


class Pcap(ProgramCollector):
    """`tcpdump` on every interface of every host: files `pcap-HOST-INTERFACE.pcapN`, times of day in nanoseconds."""

    name = "pcap"
    summary = "packets on every interface of every host, cut to their headers"
    settings_type: ClassVar[type[Settings]] = PcapSettings

    def require(self, site: Site) -> None:
        if shutil.which("tcpdump") is None:
            raise Unsupported("the program tcpdump is missing (./lab installs what the lab needs)")

    def orders(self, site: Site) -> Iterable[Order]:
        for place in site.places:
            for interface in place.interfaces:
                name = f"pcap-{place.name}-{interface}"
                yield Order(place.name, name, self._command(interface, site.directory / f"{name}.pcap"))

    def _command(self, interface: str, path: Path) -> list[str]:
        settings = self.settings
        # Immediate: the kernel keeps nothing back that would be lost at the end.
        options = ["--immediate-mode", "--time-stamp-precision=nano", "-n", "-Z", "root", "-s", str(settings.snap)]
        rotation = ["-C", str(settings.file_size // _MEGABYTE), "-W", str(settings.files)]
        return ["tcpdump", "-i", interface, *options, *rotation, "-w", str(path), *settings.filter.split()]

    def ready(self, program: Program) -> bool:
        return "listening" in tail(program.stderr)

    def files(self, directory: Path, order: Order) -> Iterable[Path]:
        return sorted(directory.glob(f"{order.name}.pcap*"), key=lambda path: path.stat().st_mtime_ns)

    def details(self, order: Order, program: Program) -> dict[str, Any]:
        """Return how many packets tcpdump and the kernel counted."""
        counts = {what.replace(" ", "_"): int(number) for number, what in _COUNTS.findall(tail(program.stderr))}
        return {order.name: counts}
