"""The stack for connections that have settings of their own."""

from mptcp_stack.mptcp.config import MptcpConfig
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.path_manager import PathManagerMaker
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.mptcp.services import StackServices
from mptcp_stack.tcp import Context


class CustomisedStack:
    """A ``stack`` with other settings; flows, tokens, timers, counters and output are the same.

    ``local_ips``: the addresses that its connections may use (RFC 6897 section 6.3.3), None for all.
    """

    def __init__(
        self,
        stack: StackServices,
        config: MptcpConfig,
        context: Context,
        scheduler: type[Scheduler],
        path_manager: PathManagerMaker,
        local_ips: frozenset[bytes] | None,
    ) -> None:
        self._stack = stack
        self.config = config
        self.context = context
        self.scheduler = scheduler
        self.path_manager = path_manager
        self.local_ips = local_ips
        self.random = stack.random
        self.is_peer = stack.is_peer
        self.bind = stack.bind
        self.add_flow = stack.add_flow
        self.remove_flow = stack.remove_flow
        self.add_fast_close = stack.add_fast_close
        self.remove_fast_close = stack.remove_fast_close
        self.new_key = stack.new_key
        self.token_in_use = stack.token_in_use
        self.add_token = stack.add_token
        self.remove = stack.remove
        self.wake = stack.wake
        self.emit = stack.emit

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """See ``StackServices``: those of ``local_ips`` that the stack has at the moment."""
        addresses = self._stack.addresses
        if self.local_ips is None:
            return addresses
        return tuple(address for address in addresses if address.ip in self.local_ips)
