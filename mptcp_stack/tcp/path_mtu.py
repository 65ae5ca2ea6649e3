"""Path MTU: the largest packet that gets through to one peer (RFC 1191, RFC 8201)."""

from typing import TYPE_CHECKING, Final, NamedTuple

from typing_extensions import override

from mptcp_stack.storage import Timer, Timers
from mptcp_stack.tcp.config import SECOND_NS

if TYPE_CHECKING:
    from mptcp_stack.tcp.sender import Sender

HEADER_BYTES: Final = {4: 40, 16: 60}
"""IP and TCP headers without options, by the length of an address."""


class PacketSize(NamedTuple):
    """How packets leave: up to ``mtu`` bytes, and ``whole``: no router may cut them (IPv4's Don't Fragment).

    What gets through fewer paths is the greater.
    """

    mtu: int
    whole: bool = True

    def within(self, mtu: int) -> "PacketSize":
        """The same on a link of ``mtu``."""
        return PacketSize(min(self.mtu, mtu), self.whole)


_LEAST: Final = {4: PacketSize(552, whole=False), 16: PacketSize(1280)}
"""The least that errors make of us. A path may have 68 bytes (RFC 791), but there MPTCP's options leave no room for
data, and whoever forges errors would make segments of next to nothing. So routers may cut what is below 552 bytes, as
Linux has it: that gets through every network, and a liar costs us no more than the headers of such segments do. Every
link of IPv6 carries 1280 (RFC 8200 section 5)."""
_STEPS: Final = {
    4: (
        PacketSize(1064), PacketSize(552), PacketSize(552, whole=False), PacketSize(296, whole=False),
        PacketSize(128, whole=False), PacketSize(68, whole=False),
    ),
    16: (PacketSize(1280),),
}  # fmt: skip
"""What to try when nobody says what fits: 1024 bytes first (RFC 4821 section 7.2), and where nothing else gets through
even what is only needed if routers lose what they should cut. No forged error leads there, only lost segments do."""
_LEAST_PAYLOAD: Final = 8
"""RFC 791 section 3.2 has every network carry so much behind the longest header; for less no segment is worth it."""
_LIFETIME_NS: Final = 600 * SECOND_NS
"""After so long the path may have become another one (RFC 1191 section 6.3)."""
_SUSPICION_NS: Final = 10 * SECOND_NS
"""Chosen: how long a size that a black hole left is kept at first, four times as long each time it is still needed."""
_SUSPICIOUS_TIMEOUTS: Final = 3
"""Linux's (tcp_retries1): fewer happen where packets are lost by chance, more make who waits wait twice as long."""
_CONDEMNING_TIMEOUTS: Final = 2
"""Of a full segment after a small one has arrived; one alone may be chance."""
_MAXIMUM_KNOWN: Final = 4096
"""Chosen: of more destinations the one that was learnt first is forgotten, which costs it another error."""

_LARGEST: Final[dict[int, PacketSize]] = {}
"""One for each MTU of a link of ours."""

KnownSizes = dict[bytes, tuple[PacketSize, int]]
"""(What gets through, until when) by local and remote address; what all connections of a stack have learnt."""


class PathMtu(Timer):
    """The packets that ``sender`` sends are of this ``size``, which has a time after which it may grow again.

    When full packets are lost again and again, smaller ones are tried. A path that is down looks the same; so, once one
    has arrived, the full size is put on trial: if that is lost, the path is too narrow indeed (RFC 4821 section 7.7 is
    the careful way to find a black hole; this one costs nothing). ``in_doubt``: the next arrival is to be told.
    """

    __slots__ = (
        "_family", "_found", "_key", "_known", "_largest", "_on_trial", "_sender", "_suspicion_ns", "in_doubt",
        "size",
    )  # fmt: skip
    __deletable__ = ("_sender",)

    def __init__(
        self,
        interface_mtu: int,
        addresses: tuple[bytes, bytes],
        known: KnownSizes,
        timers: Timers,
        sender: "Sender",
        now: int,
    ) -> None:
        super().__init__(timers)
        self._largest = _LARGEST.setdefault(interface_mtu, PacketSize(interface_mtu))
        self._family = len(addresses[0])
        self._key = b"".join(addresses)
        self._known = known
        self._suspicion_ns = _SUSPICION_NS
        self._sender = sender
        self._found: PacketSize | None = None
        self._on_trial = False
        self.in_doubt = False
        self.size = self._largest
        if self._key in known:
            self._use_known(now)

    @property
    def mss(self) -> int:
        """Payload and TCP options of the largest packet (bytes)."""
        return self._room(self.size)

    def _room(self, size: PacketSize) -> int:
        return size.mtu - HEADER_BYTES[self._family]

    def too_big(self, mtu: int, now: int) -> bool:
        """A router says that only ``mtu`` bytes fit, 0 if it does not say; whether that is news."""
        said = PacketSize(mtu) if mtu else self._next_step()
        size = max(said, _LEAST[self._family]).within(self.size.mtu)
        if size >= self.size:
            return False
        until = now + _LIFETIME_NS
        self._known.pop(self._key, None)
        if len(self._known) >= _MAXIMUM_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[self._key] = size, until
        self._use(size, until)
        return True

    def suspect(self, timeouts: int, length: int, option_bytes: int, now: int) -> bool:
        """A segment of ``length`` bytes beside ``option_bytes`` was lost with ``timeouts`` in a row (RFC 2923 section
        2.1); whether it is to be tried with smaller packets, or with some that routers may cut.
        """
        found = self._found
        if self._on_trial and found is not None and timeouts >= _CONDEMNING_TIMEOUTS:
            differs = length + option_bytes > self._room(found) or self.size.whole > found.whole
            if differs:
                self._on_trial = self.in_doubt = False
                self._use(found, now + self._suspicion_ns)
                self._suspicion_ns = min(4 * self._suspicion_ns, _LIFETIME_NS)
                return True
        if not length or timeouts < _SUSPICIOUS_TIMEOUTS:
            return False
        size = found if found is not None and found < self.size else self._next_step(length + option_bytes)
        if size >= self.size or self._room(size) < option_bytes + _LEAST_PAYLOAD:
            return False
        self.cancel()
        self.size, self.in_doubt = size, True
        return True

    def arrived(self, length: int, now: int) -> None:
        """While in doubt: a packet with ``length`` bytes behind its headers has arrived, or less."""
        if self._found is None or not self._on_trial:
            self._found, self._on_trial = self.size, True
            self.expire(now)
        elif length > self._room(self._found):
            self._found, self._on_trial, self.in_doubt = None, False, False  # the path was down

    def _next_step(self, length: int = 0) -> PacketSize:
        """The next one to try, with which something would become of a packet with ``length`` bytes behind its headers;
        the one in use when there is none.
        """
        for step in _STEPS[self._family]:
            if step < self.size and (not length or length > self._room(step) or self.size.whole > step.whole):
                return step.within(self.size.mtu)
        return self.size

    def _use(self, size: PacketSize, until: int) -> None:
        self.size = size
        self.set(until)

    def _use_known(self, now: int) -> None:
        self.size = self._largest
        size, until = self._known.get(self._key, (self.size, 0))
        if until > now:
            self._use(size.within(self._largest.mtu), until)

    @override
    def expire(self, now: int) -> None:
        self._use_known(now)
        self._sender.path_grows()

    @override
    def end(self) -> None:
        super().end()
        del self._sender
