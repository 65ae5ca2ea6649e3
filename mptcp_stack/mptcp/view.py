"""The stack as connections see it that have settings of their own."""

from mptcp_stack.mptcp.config import MptcpConfig
from mptcp_stack.mptcp.host import Host, LocalAddress
from mptcp_stack.mptcp.path_manager import PathManagerMaker
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.tcp import Context


class HostView:
    """A ``Host`` with other settings than ``host``; flows, tokens, timers, counters and output are those of ``host``.

    ``local_ips``: the addresses that its connections may use (RFC 6897 section 6.3.3), None for all.
    """

    def __init__(
        self,
        host: Host,
        config: MptcpConfig,
        context: Context,
        scheduler: type[Scheduler],
        path_manager: PathManagerMaker,
        local_ips: frozenset[bytes] | None,
    ) -> None:
        self._host = host
        self.config = config
        self.context = context
        self.scheduler = scheduler
        self.path_manager = path_manager
        self.local_ips = local_ips
        self.random = host.random
        self.is_peer = host.is_peer
        self.bind = host.bind
        self.add_flow = host.add_flow
        self.remove_flow = host.remove_flow
        self.add_fast_close = host.add_fast_close
        self.remove_fast_close = host.remove_fast_close
        self.new_key = host.new_key
        self.token_in_use = host.token_in_use
        self.add_token = host.add_token
        self.remove = host.remove
        self.wake = host.wake
        self.emit = host.emit

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """See ``Host``: those of ``local_ips`` that the stack has at the moment."""
        addresses = self._host.addresses
        if self.local_ips is None:
            return addresses
        return tuple(address for address in addresses if address.ip in self.local_ips)
