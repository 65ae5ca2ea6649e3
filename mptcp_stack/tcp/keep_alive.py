"""Keep-alive: asking a silent peer whether it is still there (RFC 9293 section 3.8.4)."""

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from mptcp_stack.storage import Timer
from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.states import SYNCHRONISED
from mptcp_stack.tcp.upper import Upper

if TYPE_CHECKING:
    from mptcp_stack.tcp.endpoint import Endpoint

_QUICK_PROBES: Final = 3
"""Unanswered in a row, or as many timeouts, and a peer that is suspected to be gone is: so many losses by chance are
rare, and who was suspected wrongly can come again."""


class KeepAlive(Timer):
    """Probes of one endpoint that is idle; ``wanted`` only if an application asks for it."""

    __slots__ = ("_config", "_endpoint", "_probed_ns", "_suspected", "_unanswered", "wanted")
    __deletable__ = ("_endpoint",)

    def __init__(self, endpoint: "Endpoint", context: Context, upper: Upper) -> None:
        super().__init__(context.timers, upper)
        self._config = context.config
        self._endpoint = endpoint
        self._probed_ns = 0
        self._unanswered = 0
        self._suspected = False
        self.wanted = self._config.keep_alive

    def switch(self, wanted: bool, config: TcpConfig) -> None:
        """Ask after each ``keep_alive_idle_ns`` of silence, or do not; ``config`` holds from now on."""
        self.wanted = wanted
        self._config = config
        if wanted:
            self.start()
        elif not self._suspected:  # else it ends when that is settled
            self.cancel()

    def start(self) -> None:
        """Begin, if it is wanted and the connection is established."""
        if self.wanted and self._endpoint.state in SYNCHRONISED:
            self.set(self._endpoint.receiver.heard_ns + self._config.keep_alive_idle_ns)

    def suspect(self, now: int) -> None:
        """There are signs that the peer has gone: if it was silent for a while ask it at once, and give it up soon."""
        endpoint = self._endpoint
        if self._suspected or endpoint.state not in SYNCHRONISED:
            return
        rtt = endpoint.sender.rtt
        if endpoint.sender.scoreboard.first is not None:
            if rtt.backoff >= _QUICK_PROBES:
                endpoint.give_up(now)
        elif now >= endpoint.receiver.heard_ns + rtt.rto_ns:
            self._suspected = True
            self._probe(now, rtt.rto_ns)

    @override
    def end(self) -> None:
        super().end()
        del self._endpoint

    @override
    def expire(self, now: int) -> None:
        config = self._config
        endpoint = self._endpoint
        heard = endpoint.receiver.heard_ns
        busy = endpoint.sender.scoreboard.first is not None
        if heard >= self._probed_ns:
            self._unanswered = 0
        self._suspected = self._suspected and bool(self._unanswered) and not busy
        probes, interval_ns = config.keep_alive_probes, config.keep_alive_interval_ns
        if self._suspected:
            probes, interval_ns = _QUICK_PROBES, endpoint.sender.rtt.rto_ns
        elif not self.wanted:
            return
        if busy:  # retransmissions find out
            self.set(now + config.keep_alive_idle_ns)
        elif not self._unanswered and now < heard + config.keep_alive_idle_ns:
            self.start()
        elif self._unanswered >= probes:
            endpoint.give_up(now)
        else:
            self._probe(now, interval_ns)

    def _probe(self, now: int, interval_ns: int) -> None:
        self._endpoint.ask("TcpExtTCPKeepAlive", now)
        self._probed_ns = now
        self._unanswered += 1
        self.set(now + interval_ns)
