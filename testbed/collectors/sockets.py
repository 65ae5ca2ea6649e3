"""Every TCP connection and MPTCP subflow over time: windows, round-trip times, bytes, retransmissions, tokens."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from testbed.collectors.base import Place, SampledCollector, Source
from testbed.collectors.socket_diag import LISTEN, TIME_WAIT, SocketDiag, states_but

ALIVE = states_but(TIME_WAIT, LISTEN)


class Sockets(SampledCollector):
    """The kernel's `tcp_info` and `mptcp_info`, as they come by netlink; our stack's own account where it runs."""

    name = "sockets"
    summary = "every subflow's cwnd, round-trip time, bytes, retransmissions, token and backup flag"
    stack_samples = "connections"

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return each host's lists."""
        for place in places:
            diag = SocketDiag(place)
            yield Source(place.name, "tcp", partial(diag.tcp, ALIVE))
            with suppress(FileNotFoundError):  # a kernel without MPTCP has no such list
                diag.mptcp(ALIVE)
                yield Source(place.name, "mptcp", partial(diag.mptcp, ALIVE))
