"""One direction of a link: rate, queue, delay and the ways in which it mistreats packets."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mypy_extensions import mypyc_attr

from mptcp_stack.sim.clock import SECOND
from mptcp_stack.wire import FragmentError, fragment

Middlebox = Callable[[bytes], list[bytes]]
"""In-path function: one IP packet in, the packets that go on in its place out (perhaps none)."""


@dataclass(frozen=True)
class LinkSpec:
    """What one direction of a link does to packets.

    `rate_bps` None means no limit of rate, and then there is no queue. `queue_bytes` is a drop-tail limit on
    what waits or is being sent. Probabilities are per packet; a reordered packet arrives `reorder_extra_ns`
    later than it would have, so that later ones overtake it. In a blackout [start_ns, end_ns) every packet
    offered is lost.
    """

    rate_bps: int | None = None
    delay_ns: int = 0
    queue_bytes: int = 100_000
    mtu: int = 1500
    loss: float = 0.0
    reorder: float = 0.0
    reorder_extra_ns: int = 0
    duplicate: float = 0.0
    corrupt: float = 0.0
    blackouts: tuple[tuple[int, int], ...] = ()


@dataclass
class LinkCounters:
    """What became of the packets offered to a link. `carried_bytes` are IP bytes put on the wire."""

    offered: int = 0
    carried_bytes: int = 0
    overflowed: int = 0
    blacked_out: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrupted: int = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class Link:
    """One direction of a link, without a timer: the time of delivery is known when a packet is offered."""

    def __init__(self, spec: LinkSpec, random: Random, middlebox: Middlebox | None = None) -> None:
        self.spec = spec
        self.middlebox = middlebox
        self.counters = LinkCounters()
        self._random = random
        self._free_ns = 0

    def hold_until(self, time_ns: int) -> None:
        """Put nothing on the wire before `time_ns`: what is offered waits, a spike of delay."""
        self._free_ns = max(self._free_ns, time_ns)

    def transfer(self, packet: bytes, now_ns: int) -> list[tuple[int, bytes]]:
        """Offer one IP packet; return what comes out as (arrival time in ns, packet).

        One that exceeds the link's MTU is cut where it allows that. Raises ValueError where it does not: the sender
        should never have made it.
        """
        try:
            parts = fragment(packet, self.spec.mtu)
        except FragmentError:
            raise ValueError(f"packet of {len(packet)} bytes on a link with MTU {self.spec.mtu}") from None
        passed = parts if self.middlebox is None else [one for part in parts for one in self.middlebox(part)]
        return [arrival for one in passed for arrival in self._carry(one, now_ns)]

    def _carry(self, packet: bytes, now_ns: int) -> list[tuple[int, bytes]]:
        spec, counters = self.spec, self.counters
        counters.offered += 1
        if any(start <= now_ns < end for start, end in spec.blackouts):
            counters.blacked_out += 1
            return []
        sent_ns = self._serialize(len(packet), now_ns)
        if sent_ns is None:
            counters.overflowed += 1
            return []
        counters.carried_bytes += len(packet)
        if self._drawn(spec.loss):
            counters.lost += 1
            return []
        arrivals = [(self._arrival_ns(sent_ns), packet)]
        if self._drawn(spec.duplicate):
            counters.duplicated += 1
            arrivals.append((self._arrival_ns(sent_ns), packet))
        return [(at, self._perhaps_corrupted(one)) for at, one in arrivals]

    def _serialize(self, length: int, now_ns: int) -> int | None:
        """When the last bit leaves the sender, or None if the queue has no room for the packet."""
        rate_bps = self.spec.rate_bps
        if rate_bps is None:
            return now_ns
        start_ns = max(self._free_ns, now_ns)
        waiting_bytes = (start_ns - now_ns) * rate_bps // (8 * SECOND)
        if waiting_bytes + length > self.spec.queue_bytes:
            return None
        self._free_ns = start_ns + length * 8 * SECOND // rate_bps
        return self._free_ns

    def _arrival_ns(self, sent_ns: int) -> int:
        arrival_ns = sent_ns + self.spec.delay_ns
        if self._drawn(self.spec.reorder):
            self.counters.reordered += 1
            arrival_ns += self.spec.reorder_extra_ns
        return arrival_ns

    def _perhaps_corrupted(self, packet: bytes) -> bytes:
        """Flip one bit now and then: what the Internet checksum always detects."""
        if not self._drawn(self.spec.corrupt):
            return packet
        self.counters.corrupted += 1
        position = self._random.randrange(len(packet) * 8)
        damaged = bytearray(packet)
        damaged[position // 8] ^= 1 << position % 8
        return bytes(damaged)

    def _drawn(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability
