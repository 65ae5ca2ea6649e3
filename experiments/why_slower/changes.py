"""What is changed of a stack or a host for one download, and put back after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from testbed.experiment import Bench
from testbed.host.hosts import Host
from testbed.stacks import StackUnderTest, create
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.buffers import with_buffer


@dataclass(frozen=True)
class Asked:
    """What the user may choose of changes: bytes of a buffer, names, the number of a core."""

    buffer_bytes: int
    scheduler: str
    congestion: str
    core: int


Made = Callable[[Bench, str, Asked], AbstractContextManager[Bench]]


def _none(_: Asked) -> str:
    return ""


@dataclass(frozen=True)
class Change:
    """One thing that is changed: `made` for a block, on a bench, of a stack by its name, which gives the changed bench.

    `settings` are those that the stack must have for it, as they follow its name.
    """

    made: Made
    settings: Callable[[Asked], str] = _none


@contextmanager
def _buffers(bench: Bench, _: str, asked: Asked) -> Iterator[Bench]:
    with with_buffer(bench.lab, bench.stack, asked.buffer_bytes):
        yield bench


@contextmanager
def _placed(bench: Bench, _name: str, _asked: Asked) -> Iterator[Bench]:
    """Nothing more: on which cores programs run is the point's placement."""
    yield bench


@contextmanager
def _prepared(bench: Bench, stack: StackUnderTest) -> Iterator[Bench]:
    """Have both hosts ready for `stack` in the block, and for the bench's own after it."""
    stack.prepare(bench.lab)
    try:
        yield replace(bench, stack=stack)
    finally:
        bench.stack.prepare(bench.lab)


def _congestion(bench: Bench, name: str, asked: Asked) -> AbstractContextManager[Bench]:
    return _prepared(bench, create(name, asked.congestion))


def _setting(settings: Callable[[Asked], str]) -> Change:
    """Return the change to a stack with more settings."""
    return Change(lambda bench, name, asked: _prepared(bench, create(f"{name}{settings(asked)}")), settings)


@contextmanager
def _segments(bench: Bench, name: str, _: Asked) -> Iterator[Bench]:
    """Single segments from sender to receiver, which merges none."""
    if bench.stack.is_ours:
        with _prepared(bench, create(f"{name}+gso_max_bytes=1400+receive_offload=off")) as changed:
            yield changed
        return
    ends = [(host, interface) for host in (CLIENT, SERVER) for interface in bench.lab.hosts[host].interfaces]
    before = {end: _merging(bench.lab.hosts[end[0]], end[1]) for end in ends}
    try:
        for host, interface in ends:
            _merge(bench.lab.hosts[host], interface, 1, "off")
        yield bench
    finally:
        for (host, interface), (most, merged) in before.items():
            _merge(bench.lab.hosts[host], interface, most, merged)


def _merging(host: Host, interface: str) -> tuple[int, str]:
    """Return how many segments a packet may have that leaves, and whether those that come in are merged."""
    (link,) = json.loads(host.run(["ip", "-json", "-details", "link", "show", "dev", interface]).stdout)
    (feature,) = json.loads(host.run(["ethtool", "--json", "-k", interface]).stdout)
    return int(link["gso_max_segs"]), "on" if feature["generic-receive-offload"]["active"] else "off"


def _merge(host: Host, interface: str, most: int, merged: str) -> None:
    host.run(["ip", "link", "set", "dev", interface, "gso_max_segs", str(most)])
    host.run(["ethtool", "-K", interface, "gro", merged])


CHANGES: Final[Mapping[str, Change]] = {
    "buffers": Change(_buffers),
    "scheduler": _setting(lambda asked: f"+scheduler={asked.scheduler}"),
    "congestion": Change(_congestion),
    "checksums": _setting(lambda _: "+dss_checksum=on"),
    "segments": Change(_segments),
    "core": Change(_placed),
}
"""By name, in the order in which they take turns."""
