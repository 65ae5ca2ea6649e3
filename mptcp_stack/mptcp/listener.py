"""A listening port."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.host import Host


class Listener:
    """Accepts connections to ``local``; an empty ``local.ip`` stands for every address of the stack.

    At most ``backlog`` handshakes may be under way at a time; further SYNs are dropped. ``host``: the stack as the
    accepted connections see it.
    """

    __slots__ = ("_unregister", "backlog", "half_open", "host", "local")

    def __init__(self, local: Address, backlog: int, host: "Host", unregister: Callable[["Listener"], None]) -> None:
        self._unregister = unregister
        self.local = local
        self.backlog = backlog
        self.host = host
        self.half_open = 0

    def close(self) -> None:
        """Accept nothing more; connections that exist stay."""
        self._unregister(self)
