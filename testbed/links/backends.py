"""Which links this kernel can realise as they ask; the others are refused, or moved to the emulator and recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from testbed.errors import Unsupported
from testbed.host.commands import run
from testbed.spec import ABILITIES, Link, Topology

_TRIALS = {
    "tbf": "tbf rate 1mbit burst 10kb limit 100000",
    "netem": "netem delay 1ms",
}


@cache
def has_qdisc(kind: str) -> bool:
    """Whether the kernel has a queueing discipline; tried on the loopback interface of the run's namespace."""
    device = "dev lo root"
    if run(f"tc qdisc add {device} {_TRIALS[kind]}".split(), check=False).returncode != 0:
        return False
    run(f"tc qdisc delete {device}".split())
    return True


def resolve(topology: Topology, has: Callable[[str], bool] = has_qdisc) -> tuple[Topology, Mapping[str, str]]:
    """The topology as this machine can build it, and by link why one was moved to the emulator.

    A link moves when it says so (`fallback: emulator`) or leaves the choice to the lab (`backend: auto`). Unsupported,
    in one line that says what to do, for any other that the kernel cannot realise.
    """
    links: list[Link] = []
    moved: dict[str, str] = {}
    for link in topology.links:
        why = _beyond(link, has)
        if why and link.backend == "tc" and link.fallback == "none":
            raise Unsupported(f"link {link.name}: {why}: use backend: emulator, or add fallback: emulator")
        if why:
            moved[link.name] = why
        links.append(link.model_copy(update={"backend": "emulator"}) if why else link)
    return topology.model_copy(update={"links": tuple(links)}), moved


def _beyond(link: Link, has: Callable[[str], bool]) -> str:
    """What keeps a link from what it names or would be given first; empty when nothing does."""
    if link.beyond_backend:
        return f"backend {link.backend} cannot do {', '.join(link.beyond_backend)}"
    needs: dict[str, list[str]] = {}
    for name in link.asked_of_backend:
        needs.setdefault(ABILITIES[link.kind][name], []).append(name)
    missing = [qdisc for qdisc in needs if qdisc and not has(qdisc)]
    fields = [name for qdisc in missing for name in needs[qdisc]]
    return (
        f"backend tc needs {' and '.join(missing)} for {', '.join(fields)}, which this kernel lacks" if missing else ""
    )
