"""Plug-ins that override every name of a class of ours and count how often each is used.

``MPTCP_LAB_PURE=1 python -m tests.sim.overrides`` prints the counts as JSON, by plug-in and name.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MemberDescriptorType
from typing import Any

from mptcp_stack.congestion import ALGORITHMS
from mptcp_stack.mptcp.path_manager import PATH_MANAGERS
from mptcp_stack.mptcp.scheduler import SCHEDULERS
from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source, pattern
from mptcp_stack.stack import LocalAddress
from mptcp_stack.tcp import Address
from tests.sim.scenes import PATH, PORT, SERVER, client_ip, make_scene, server_ip

KINDS: dict[str, dict[str, Any]] = {
    "congestion": ALGORITHMS,
    "scheduler": SCHEDULERS,
    "path_manager": PATH_MANAGERS,
}
DATA = pattern(1_000_000)


class Counted:
    """In place of something that a class has: counts who asks an object for it, and says what the class does."""

    def __init__(self, name: str, inherited: type, counts: Counter[str]) -> None:
        self._name, self._inherited, self._counts = name, inherited, counts

    def __get__(self, one: object, kind: type) -> Any:
        if one is not None:
            self._counts[self._name] += 1
        return getattr(super(self._inherited, one or kind), self._name)


def names_of(kind: type) -> list[str]:
    """Everything of it that a class of a user's can have in its place; of a class that is not compiled."""
    names = [name for name in dir(kind) if not hasattr(object, name) and not name.startswith(("__", "_abc_"))]
    return [name for name in names if not isinstance(getattr(kind, name), MemberDescriptorType)]


def overriding(kind: type, names: Iterable[str], counts: Counter[str]) -> type:
    """A class of a user's that overrides these names of ``kind``."""
    made = type(kind.__name__, (kind,), {})
    for name in names:
        setattr(made, name, Counted(name, made, counts))
    return made


_MADE: dict[str, type] = {}


def __getattr__(name: str) -> type:
    """A plug-in that was made, for ``module:Class``."""
    try:
        return _MADE[name]
    except KeyError:
        raise AttributeError(name) from None


def counts_of(setting: str, plugin: type, names: Iterable[str]) -> dict[str, int]:
    """How often each name of a plug-in is asked for in a transfer with losses, a path that goes dead, and moves."""
    counts = Counter(dict.fromkeys(names, 0))
    _MADE["Plugin"] = overriding(plugin, names, counts)
    lossy = replace(PATH, loss=0.02, reorder=0.05, reorder_extra_ns=25 * MILLISECOND)
    lossy = replace(lossy, blackouts=((700 * MILLISECOND, 1400 * MILLISECOND),))
    slow = replace(PATH, delay_ns=80 * MILLISECOND, blackouts=((300 * MILLISECOND, 900 * MILLISECOND),))
    scene = make_scene(1, [lossy, slow], receive_buffer_bytes=60_000, **{setting: "tests.sim.overrides:Plugin"})
    sink = Sink()
    scene.server.listen(Address(b"", PORT), lambda: sink)
    source = Source(DATA)
    scene.client.connect(SERVER, source)
    moving = LocalAddress(client_ip(2), 24)
    moves: list[tuple[int, Callable[[], None]]] = [
        (1500, lambda: scene.client.remove_address(moving.ip)),
        (1700, lambda: scene.client.add_address(moving)),
        (2500, lambda: scene.server.remove_address(server_ip(2))),
    ]
    for delay_ms, action in moves:
        scene.network.clock.schedule(delay_ms * MILLISECOND, action)
    scene.network.run_until(lambda: source.closed and sink.closed, 120 * SECOND)
    assert bytes(sink.received) == DATA
    return counts


def counts_of_all() -> dict[str, dict[str, int]]:
    """With the names as the sources have them: to be called where the stack is pure Python."""
    return {
        f"{setting}:{name}": counts_of(setting, plugin, names_of(plugin))
        for setting, plugins in KINDS.items()
        for name, plugin in plugins.items()
    }


if __name__ == "__main__":
    sys.modules["tests.sim.overrides"] = sys.modules["__main__"]
    print(json.dumps(counts_of_all()))
