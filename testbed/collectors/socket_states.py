"""How many sockets are in each state over time, TIME-WAIT among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from testbed.collectors.base import Place, SampledCollector, Source
from testbed.collectors.socket_diag import TIME_WAIT, SocketDiag, count_states, states_but

_COUNTED = states_but(TIME_WAIT)


class SocketStates(SampledCollector):
    """TCP sockets of the kernel (subflows too), or flows of our stack, by the state's name in RFC 9293.

    TIME-WAIT is the kernel's own count, which does not grow dearer with tens of thousands of them; it has sockets in
    it that wait for the peer's FIN in the same cheap form.
    """

    name = "socket-states"
    summary = "number of TCP sockets in each state, TIME-WAIT too"
    stack_samples = "flows"

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return each host's counts."""
        for place in places:
            yield Source(place.name, "tcp", partial(_count, SocketDiag(place), Path(f"/proc/{place.pid}/net/sockstat")))


def _count(diag: SocketDiag, sockstat: Path) -> Counter[str]:
    counted = count_states(diag.tcp(_COUNTED, extensions=0))
    counted["TIME-WAIT"] = _time_wait(sockstat.read_text())
    return counted


def _time_wait(sockstat: str) -> int:
    """Read the number behind "tw" in the line of TCP."""
    words = next(line for line in sockstat.splitlines() if line.startswith("TCP:")).split()
    return int(words[words.index("tw") + 1])
