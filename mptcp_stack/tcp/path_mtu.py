"""Path MTU: the largest packet that gets through to one peer (RFC 1191, RFC 8201)."""

from collections.abc import Callable

from mptcp_stack.storage import Timers
from mptcp_stack.tcp.config import SECOND_NS

HEADER_BYTES = {4: 40, 16: 60}
"""IP and TCP headers without options, by the length of an address."""

_MINIMUM = {4: 552, 16: 1280}
"""Errors that ask for less are followed no further: RFC 8200 section 5, and the bound of Linux for IPv4."""
_STEPS = {4: (1064, 552), 16: (1280,)}
"""What to try when nobody says what fits (RFC 4821 section 7.2 asks for 1024 bytes)."""
_LIFETIME_NS = 600 * SECOND_NS
"""After so long the path may have become another one (RFC 1191 section 6.3)."""
_SUSPICION_NS = 10 * SECOND_NS
_MAXIMUM_KNOWN = 4096

KnownMtus = dict[bytes, tuple[int, int]]
"""(MTU, until when) by local and remote address; what all connections of a stack have learnt."""


class PathMtu:
    """The MTU that one endpoint uses: ``mtu`` bytes of an IP packet. ``grown`` is called when it has grown again."""

    __slots__ = ("_family", "_grown", "_interface_mtu", "_key", "_known", "_suspicion_ns", "_timer", "mtu")

    def __init__(
        self,
        interface_mtu: int,
        addresses: tuple[bytes, bytes],
        known: KnownMtus,
        timers: Timers,
        grown: Callable[[], None],
        now: int,
    ) -> None:
        self._interface_mtu = interface_mtu
        self._family = len(addresses[0])
        self._key = b"".join(addresses)
        self._known = known
        self._suspicion_ns = _SUSPICION_NS
        self.mtu = interface_mtu
        self._grown = grown
        self._timer = timers.timer(self._expired)
        mtu, until = known.get(self._key, (interface_mtu, 0))
        if until > now and mtu < interface_mtu:
            self._use(mtu, until)

    @property
    def mss(self) -> int:
        """Payload and TCP options of the largest packet (bytes)."""
        return self.mtu - HEADER_BYTES[self._family]

    def too_big(self, mtu: int, now: int) -> bool:
        """A router says that only ``mtu`` bytes fit, 0 if it does not say; whether that is news."""
        mtu = max(mtu, _MINIMUM[self._family]) if mtu else self._next_step()
        if mtu >= self.mtu:
            return False
        until = now + _LIFETIME_NS
        self._known.pop(self._key, None)
        if len(self._known) >= _MAXIMUM_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[self._key] = mtu, until
        self._use(mtu, until)
        return True

    def suspect(self, now: int) -> bool:
        """Full packets are lost again and again; whether a smaller size is left to be tried for a while.

        A path that is down looks the same, so the while is short at first, and longer each time (RFC 4821 section 7.7
        is the careful way to find a black hole; this one costs nothing).
        """
        mtu = self._next_step()
        if mtu >= self.mtu:
            return False
        self._use(mtu, now + self._suspicion_ns)
        self._suspicion_ns = min(4 * self._suspicion_ns, _LIFETIME_NS)
        return True

    def _next_step(self) -> int:
        return next((step for step in _STEPS[self._family] if step < self.mtu), self.mtu)

    def _use(self, mtu: int, until: int) -> None:
        self.mtu = mtu
        self._timer.set(until)

    def _expired(self, now: int) -> None:
        self.mtu = self._interface_mtu
        self._grown()

    def stop(self) -> None:
        """No timer fires any more."""
        self._timer.cancel()
