"""The interface of a path manager. Adding one: subclass ``PathManager`` and register its name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from mypy_extensions import mypyc_attr

from mptcp_stack.storage import Timer
from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.local_address import LocalAddress
    from mptcp_stack.mptcp.path_manager.owner import PathOwner
    from mptcp_stack.mptcp.subflow.subflow import Subflow


@mypyc_attr(allow_interpreted_subclasses=True)
class PathManager:
    """Decides for one connection which addresses to announce and which subflows to open and to close.

    It is told what happens through its ``on_`` methods, and acts through ``connection``: ``announcements.announce``
    and ``announcements.withdraw``, ``open_subflow``, ``close_subflow``, ``set_backup``. The addresses that come into
    question are ``local_addresses(remote)`` and ``connection.announcements.remotes()``.

    When an address of ours goes, the connection itself withdraws it and closes its subflows, as soon as there is
    another subflow that can say so; what to do instead is for the path manager.

    ``over``: the connection is, and there is no ``connection`` any more: orders that come so late do nothing.
    """

    __deletable__ = ("connection",)
    name: ClassVar[str] = ""

    def __init__(self, connection: "PathOwner") -> None:
        self.connection = connection
        self.over = False
        self._timer: Timer | None = None

    @classmethod
    def configured(cls, parameter: str) -> "PathManagerMaker":
        """What makes path managers with a parameter: the text behind the colon of ``name:parameter``.

        Raises ValueError when the parameter is wrong.
        """
        if parameter:
            raise ValueError(f"path manager {cls.name!r} takes no parameter, but got {parameter!r}")
        return cls

    # --- what happens

    def on_established(self, now: int) -> None:
        """Both sides have agreed on MPTCP and further subflows may be opened."""

    def on_local_address_added(self, address: "LocalAddress", now: int) -> None:
        """The stack has one more address, or one again."""

    def on_local_address_removed(self, address: "LocalAddress", now: int) -> None:
        """The stack has an address no longer."""

    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        """The peer announced an address (ADD_ADDR with a valid HMAC), 0 being that of the first subflow.

        It may be one that is known, and have a subflow: the peer asks for another attempt in this way where one has
        failed (section 3.4.1), and repeats what it had no echo for.
        """

    def on_address_removed(self, address_id: int, now: int) -> None:
        """The peer withdrew an address (REMOVE_ADDR); its subflows are closed."""

    def on_subflow_established(self, subflow: "Subflow", now: int) -> None:
        """A further subflow can carry data."""

    def on_subflow_timeout(self, subflow: "Subflow", now: int) -> None:
        """Nothing of what a subflow sent was acknowledged in time; ``subflow.timeouts`` is how often in a row."""

    def on_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """A subflow is gone or did not come up, while the connection goes on.

        ``error`` is None when one of the hosts closed it in order; after a reset ``subflow.peer_reset`` is the reason
        that the peer gave, if it gave one (RFC 8684 section 3.6).
        """

    def on_timer(self, now: int) -> None:
        """The time has come that was set with ``wake_at``."""

    # --- means

    def wake_at(self, time_ns: int) -> None:
        """Have ``on_timer`` called at this time, unless it is called before."""
        if self.over:
            return
        if self._timer is None:
            connection = self.connection
            self._timer = connection.stack.context.timers.timer(self.on_timer, connection)
        self._timer.set_earlier(time_ns)

    def stop(self) -> None:
        """The connection ends, or goes on as TCP and ends later (then it is called again): no timer fires any more."""
        if self._timer is not None:
            self._timer.cancel()

    def dissolve(self) -> None:
        """The connection is ``over`` and everybody knows: it is no longer held, so that it can be freed."""
        self.over = True
        if self._timer is not None:
            self._timer.end()
        del self.connection

    def local_addresses(self, remote: bytes) -> "list[LocalAddress]":
        """Our addresses from which an address of the peer can be reached."""
        if self.over:
            return []
        connection = self.connection
        link = connection.link
        return [address for address in connection.stack.addresses if address.reaches(remote, link)]


PathManagerMaker = Callable[["PathOwner"], PathManager]
