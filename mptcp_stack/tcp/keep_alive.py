"""Keep-alive: asking a silent peer whether it is still there (RFC 9293 section 3.8.4)."""

from typing import TYPE_CHECKING

from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.states import State
from mptcp_stack.tcp.upper import Upper

if TYPE_CHECKING:
    from mptcp_stack.tcp.endpoint import Endpoint


class KeepAlive:
    """Probes of one endpoint that is idle; ``wanted`` only if an application asks for it."""

    __slots__ = ("_config", "_endpoint", "_probed_ns", "_timer", "_unanswered", "wanted")

    def __init__(self, endpoint: "Endpoint", context: Context, upper: Upper) -> None:
        self._config = context.config
        self._endpoint = endpoint
        self._probed_ns = 0
        self._unanswered = 0
        self._timer = context.timers.timer(self._due, upper)
        self.wanted = self._config.keep_alive

    def switch(self, wanted: bool, config: TcpConfig) -> None:
        """Ask after each ``keep_alive_idle_ns`` of silence, or do not; ``config`` holds from now on."""
        self.wanted = wanted
        self._config = config
        if wanted:
            self.start()
        else:
            self.stop()

    def start(self) -> None:
        """Begin, if it is wanted and the connection is established."""
        if self.wanted and self._endpoint.state >= State.ESTABLISHED:
            self._timer.set(self._endpoint.receiver.heard_ns + self._config.keep_alive_idle_ns)

    def stop(self) -> None:
        """Do not ask any more."""
        self._timer.cancel()

    def _due(self, now: int) -> None:
        config = self._config
        endpoint = self._endpoint
        heard = endpoint.receiver.heard_ns
        if heard >= self._probed_ns:
            self._unanswered = 0
        if endpoint.sender.scoreboard.first is not None:  # retransmissions find out
            self._timer.set(now + config.keep_alive_idle_ns)
        elif not self._unanswered and now < heard + config.keep_alive_idle_ns:
            self.start()
        elif self._unanswered >= config.keep_alive_probes:
            endpoint.give_up(now)
        else:
            endpoint.ask("TcpExtTCPKeepAlive", now)
            self._probed_ns = now
            self._unanswered += 1
            self._timer.set(now + config.keep_alive_interval_ns)
