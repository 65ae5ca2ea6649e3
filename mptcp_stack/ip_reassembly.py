"""Parts of IP packets until they are whole (RFC 791, RFC 815, RFC 1122 section 3.3.2, RFC 8200 section 4.5).

What a router cut is put together here before TCP or ICMP sees it. Everything is bounded, as parts may be forged: the
memory in all, the parts of a packet, and the time.
"""

from bisect import bisect_left
from collections import Counter, OrderedDict
from operator import itemgetter
from typing import Final, NamedTuple

from mptcp_stack.storage import Timers
from mptcp_stack.wire import Fragment, OtherProtocolError, Packet, WireError, join, read_fragment

MAX_HELD_BYTES: Final = 4 << 20
"""Of one IP version, as Linux has it (``ipfrag_high_thresh``): room for 64 of the largest packets."""
MAX_PARTS: Final = 256
"""Of one packet: more than a jumbo frame of 9000 bytes gives on a link with the least MTU of all, 68 bytes (188)."""
_PART_BYTES: Final = 200
_PACKET_BYTES: Final = 1000
"""What a part and a packet take beside their data, rounded up: parts of 8 bytes are not to be for nothing."""

_SECOND_NS: Final = 1_000_000_000
_NOT_ECT: Final = 0
_CE: Final = 3
_offset = itemgetter(0)


class _Version(NamedTuple):
    prefix: str
    """Of the kernel's counters."""
    timeout_ns: int


_VERSIONS: Final = {4: _Version("Ip", 30 * _SECOND_NS), 6: _Version("Ip6", 60 * _SECOND_NS)}
"""Linux's time for IPv4, less than what RFC 1122 recommends; that of RFC 8200 for IPv6."""


class IpReassembly:
    """Puts packets of both IP versions together. Counts under the kernel's names (``IpReasmReqds`` and so on).

    ``most_bytes``: the memory that parts of each version may take.
    """

    def __init__(self, timers: Timers, counters: Counter[str], most_bytes: int = MAX_HELD_BYTES) -> None:
        self._tables = {number: _Table(version, timers, counters, most_bytes) for number, version in _VERSIONS.items()}

    def add(self, packet: Packet, now: int) -> Packet | None:
        """A packet for which ``wire.decode`` raised FragmentError; returns the whole that it makes complete."""
        return self._tables[packet.parts[0][0] >> 4].add(packet, now)


class _Incomplete:
    """Parts of a packet, in order and without overlaps."""

    __slots__ = ("deadline_ns", "end", "first", "marks", "parts", "received")

    def __init__(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns
        self.parts: list[tuple[int, bytes]] = []
        self.first: Fragment | None = None
        self.end: int | None = None
        self.received = 0
        self.marks: set[int] = set()

    @property
    def cost_bytes(self) -> int:
        """The memory it takes."""
        header_bytes = len(self.first.header) if self.first is not None else 0
        return _PACKET_BYTES + len(self.parts) * _PART_BYTES + self.received + header_bytes

    def has(self, part: Fragment, index: int) -> bool:
        """Whether a part came before just so."""
        return index < len(self.parts) and self.parts[index] == (part.offset, part.data)

    def contradicts(self, part: Fragment, index: int) -> bool:
        """Whether it overlaps others, or says something else of the end."""
        parts = self.parts
        if index and parts[index - 1][0] + len(parts[index - 1][1]) > part.offset:
            return True
        if index < len(parts) and (parts[index][0] < part.end or not part.more):
            return True
        return self.end is not None and (part.end > self.end or not part.more)

    def insert(self, part: Fragment, index: int) -> None:
        """Keep a part."""
        self.parts.insert(index, (part.offset, part.data))
        self.received += len(part.data)
        self.marks.add(part.ecn)
        if not part.offset:
            self.first = part
        if not part.more:
            self.end = part.end

    def ecn(self) -> int | None:
        """The ECN bits of the whole, None where no honest way leads to such parts (RFC 3168 section 5.3)."""
        assert self.first is not None
        if len(self.marks) > 1 and _NOT_ECT in self.marks:
            return None
        return _CE if _CE in self.marks else self.first.ecn


class _Table:
    """Incomplete packets of one IP version, the oldest first."""

    def __init__(self, version: _Version, timers: Timers, counters: Counter[str], most_bytes: int) -> None:
        self._prefix, self._timeout_ns = version
        self._counters = counters
        self._most_bytes = most_bytes
        self._packets: OrderedDict[bytes, _Incomplete] = OrderedDict()
        self._cost_bytes = 0
        self._timer = timers.timer(self._expire)

    def add(self, packet: Packet, now: int) -> Packet | None:
        """Take a part, and count it; returns the whole that it makes complete."""
        try:
            part = read_fragment(packet)
        except OtherProtocolError:
            self._count("InUnknownProtos")
            return None
        except WireError:
            self._count("ReasmReqds")
            self._count("ReasmFails")
            return None
        self._count("ReasmReqds")
        incomplete = self._packets.get(part.packet)
        if incomplete is None:
            incomplete = self._packets[part.packet] = _Incomplete(now + self._timeout_ns)
            self._cost_bytes += incomplete.cost_bytes
            self._timer.set_earlier(incomplete.deadline_ns)
        return self._insert(incomplete, part)

    def _insert(self, incomplete: _Incomplete, part: Fragment) -> Packet | None:
        index = bisect_left(incomplete.parts, part.offset, key=_offset)
        if incomplete.has(part, index):
            return None  # a copy, which RFC 8200 lets us ignore
        if incomplete.contradicts(part, index) or len(incomplete.parts) >= MAX_PARTS:
            self._fail(part.packet)
            return None
        before = incomplete.cost_bytes
        incomplete.insert(part, index)
        self._cost_bytes += incomplete.cost_bytes - before
        if incomplete.received == incomplete.end:
            return self._complete(part.packet)
        # Whole packets come within moments: what has waited longest is the least loss.
        while self._cost_bytes > self._most_bytes:
            self._fail(next(iter(self._packets)))
        return None

    def _complete(self, key: bytes) -> Packet | None:
        incomplete = self._forget(key)
        assert incomplete.first is not None
        ecn = incomplete.ecn()
        try:
            whole = None if ecn is None else join(incomplete.first, (data for _, data in incomplete.parts), ecn)
        except WireError:
            whole = None
        self._count("ReasmFails" if whole is None else "ReasmOKs")
        return whole

    def _fail(self, key: bytes) -> None:
        self._forget(key)
        self._count("ReasmFails")

    def _forget(self, key: bytes) -> _Incomplete:
        incomplete = self._packets.pop(key)
        self._cost_bytes -= incomplete.cost_bytes
        if not self._packets:
            self._timer.cancel()
        return incomplete

    def _expire(self, now: int) -> None:
        while self._packets:
            key, oldest = next(iter(self._packets.items()))
            if oldest.deadline_ns > now:
                self._timer.set(oldest.deadline_ns)
                return
            self._count("ReasmTimeout")
            self._fail(key)

    def _count(self, name: str) -> None:
        self._counters[self._prefix + name] += 1
