"""What can be asked: `Placement`, validated and frozen, in the words of `--set`.

Lists of CPUs are given by host: `client:0,server:2-3`, or `0-1` for every host. Where a host's interfaces shall
differ, their lists are joined by a slash in the order of the topology: `client:0/1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from testbed.errors import LabError
from testbed.input.validation import Frozen, unknown
from testbed.placement.cpus import parse_cpus

EVERY_HOST = "*"
EMULATOR = "emulator"
"""The name, among those of hosts, of the process that emulates links."""

_FORM = 'must look like "client:0,server:2-3" or "0-1" for every host'
_MOST_ENTRIES = 1 << 20
_ENTRY = re.compile(r"(?:(?P<host>[a-z][a-z0-9-]*):)?(?P<lists>\d[\d,/-]*)")
_NEXT_HOST = re.compile(r",(?=[a-z])")

CpuLists = tuple[tuple[int, ...], ...]
"""CPUs of each interface of a host; a single list is for all of them."""


def parse_by_host(text: str) -> dict[str, CpuLists]:
    """The lists of "client:0/1,server:2-3" by host, `EVERY_HOST` for what has no name; ValueError for another form."""
    found: dict[str, CpuLists] = {}
    for entry in _NEXT_HOST.split(text) if text else ():
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(_FORM)
        host = match["host"] or EVERY_HOST
        if host in found:
            raise ValueError(f"names {host} twice")
        found[host] = tuple(parse_cpus(one) for one in match["lists"].split("/"))
    if len(found) > 1 and EVERY_HOST in found:
        raise ValueError(_FORM)
    return found


def _by_host(text: str) -> str:
    parse_by_host(text)
    return text


def _by_process(text: str) -> str:
    if any(len(lists) > 1 for lists in parse_by_host(text).values()):
        raise ValueError("a program has no interfaces: one list of CPUs for each host")
    return text


def _table_size(entries: int) -> int:
    if not 0 <= entries <= _MOST_ENTRIES or entries & (entries - 1):
        raise ValueError(f"must be a power of two up to {_MOST_ENTRIES}, such as 4096 (0: no flow steering)")
    return entries


CpusByHost = Annotated[str, AfterValidator(_by_host)]
TableSize = Annotated[int, AfterValidator(_table_size)]
ProcessCpus = Annotated[str, AfterValidator(_by_process)]


class Placement(Frozen):
    """Which cores do what; what is empty is left to the kernel.

    `process_cpus`: the programs of a host, and the link emulator (`emulator:0`). `rps_cpus`: where packets that come in
    by a host's interfaces are processed (receive packet steering: by a hash of the flow, among these). `rfs_entries`:
    size of the tables of receive flow steering, which takes a flow's packets to the core where its application last
    received; 0 is none. `xps_cpus`: the cores that may use each interface's transmit queues. `irq_cpus`: where the
    interrupts of real devices are handled. See the kernel's Documentation/networking/scaling.rst.
    """

    process_cpus: ProcessCpus = Field(default="", description="cores of the programs, by host; empty: any")
    rps_cpus: CpusByHost = Field(default="", description="cores that process what comes in, by host; empty: as it was")
    rfs_entries: TableSize = Field(default=0, description="size of the tables of receive flow steering; 0: none")
    xps_cpus: CpusByHost = Field(default="", description="cores that may use the transmit queues, by host")
    irq_cpus: CpusByHost = Field(default="", description="cores that handle interrupts of real devices, by host")

    def cpus(self, process: str) -> tuple[int, ...]:
        """The CPUs of the programs in a host (or of `EMULATOR`); empty for any."""
        places = parse_by_host(self.process_cpus)
        return places.get(process, places.get(EVERY_HOST, ((),)))[0]

    def everything(self) -> set[int]:
        """Every CPU that is named."""
        texts = (self.process_cpus, self.rps_cpus, self.xps_cpus, self.irq_cpus)
        return {cpu for text in texts for lists in parse_by_host(text).values() for cpus in lists for cpu in cpus}


ANYWHERE = Placement()


def by_interface(field: str, text: str, interfaces: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], list[int]]:
    """The CPUs of a field by host and interface, only those that are named; LabError for a name that is not there.

    `interfaces` are those of each host, in the topology's order.
    """
    places = parse_by_host(text)
    check_hosts(field, places, interfaces)
    found: dict[tuple[str, str], list[int]] = {}
    for host, names in interfaces.items():
        lists = places.get(host) or places.get(EVERY_HOST)
        if lists is None:
            continue
        names = list(names)
        if len(lists) not in (1, len(names)):
            raise LabError(f"{field}: {len(lists)} lists of CPUs, but {host} has {len(names)} interfaces")
        each = lists * len(names) if len(lists) == 1 else lists
        found |= {(host, name): list(cpus) for name, cpus in zip(names, each, strict=True)}
    return found


def check_hosts(field: str, named: Iterable[str], hosts: Iterable[str]) -> None:
    """LabError for the first name that is no host of the lab."""
    hosts = list(hosts)
    for name in named:
        if name not in (*hosts, EVERY_HOST):
            raise LabError(f"{field}: {unknown('host', name, hosts)}")
