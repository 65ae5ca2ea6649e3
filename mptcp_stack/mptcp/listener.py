"""A listening port."""

from collections.abc import Callable

from mptcp_stack.tcp import Address


class Listener:
    """Accepts connections to ``local``; an empty ``local.ip`` stands for every address of the stack.

    At most ``backlog`` handshakes may be under way at a time; further SYNs are dropped.
    """

    __slots__ = ("_unregister", "backlog", "half_open", "local", "mptcp")

    def __init__(self, local: Address, backlog: int, mptcp: bool, unregister: Callable[["Listener"], None]) -> None:
        self._unregister = unregister
        self.local = local
        self.backlog = backlog
        self.mptcp = mptcp
        self.half_open = 0

    def close(self) -> None:
        """Accept nothing more; connections that exist stay."""
        self._unregister(self)
