"""How often the kernel passed its tracepoints, by core and, for those of devices, by interface."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from testbed.collectors.base import Place, SampledCollector, Sampling, Settings, Source
from testbed.collectors.perf_events import TRACEPOINT, Counter, cores, tracefs
from testbed.errors import Unsupported
from testbed.input.validation import unknown

_EVENTS = (
    "net:netif_receive_skb",
    "net:net_dev_start_xmit",
    "tcp:tcp_retransmit_skb",
    "tcp:tcp_send_reset",
    "tcp:tcp_receive_reset",
    "mptcp:mptcp_subflow_get_send",
    "mptcp:get_mapping_status",
    "mptcp:ack_update_msk",
)

Events = Annotated[
    tuple[Annotated[str, Field(pattern=r"^\w+:\w+$")], ...],
    BeforeValidator(lambda value: value.split("/") if isinstance(value, str) else value),
]
"""Tracepoints, "net:netif_rx/tcp:tcp_probe"."""


class TracepointSettings(Sampling):
    """`events`: tracepoints as perf names them, joined by "/"."""

    events: Events = _EVENTS


class Tracepoints(SampledCollector):
    """Counters on every core. Those whose event has a device's `name` count each interface of the hosts by itself.

    The kernel traces the whole machine: other events are counted wherever they happen, and an interface of another
    lab that has the same name is counted too.
    """

    name = "tracepoints"
    summary = "passes of kernel tracepoints (net, tcp, mptcp) by core, and by interface where the event has one"
    settings_type: ClassVar[type[Settings]] = TracepointSettings

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return a list of counts, one for each core, for each event and interface."""
        interfaces = [(place.name, interface) for place in places for interface in place.interfaces]
        with tracefs() as directory:
            found = [event for event in self.settings.events if self._exists(directory, event)]
            if not found:
                raise Unsupported(f"this kernel has none of the tracepoints {', '.join(self.settings.events)}")
            for event in found:
                path = directory / "events" / event.replace(":", "/")
                number = int((path / "id").read_text())
                if _has_interface(path):
                    for host, interface in interfaces:
                        counters = _on_every_core(number, f'name == "{interface}"')
                        yield Source(host, f"{event} {interface}", partial(_read, counters))
                else:
                    yield Source("", event, partial(_read, _on_every_core(number)))

    def _exists(self, directory: Path, event: str) -> bool:
        """Whether this kernel has a tracepoint; those that are asked for by default may be missing."""
        group, _, name = event.partition(":")
        if (directory / "events" / group / name).is_dir():
            return True
        if event in _EVENTS:
            return False
        names = [path.name for path in (directory / "events" / group).glob("*/")]
        raise Unsupported(unknown("tracepoint", event, [f"{group}:{name}" for name in sorted(names)]))


def _has_interface(tracepoint: Path) -> bool:
    return "char[] name;" in (tracepoint / "format").read_text()


def _on_every_core(number: int, predicate: str = "") -> dict[int, Counter]:
    return {cpu: Counter(TRACEPOINT, number, cpu, predicate) for cpu in cores()}


def _read(counters: dict[int, Counter]) -> dict[int, int]:
    return {cpu: counter.read().value for cpu, counter in counters.items()}
