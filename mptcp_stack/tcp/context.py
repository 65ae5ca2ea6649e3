"""What all endpoints of a stack share."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import count
from typing import Final

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.observe import Observer
from mptcp_stack.storage import MASK_32, Timers
from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.tcp.path_mtu import HEADER_BYTES, KnownSizes
from mptcp_stack.wire import Options, Segment

MAXIMUM_WINDOW_SCALE: Final = 14
"""RFC 7323 section 2.3."""
TIMESTAMP_UNIT_NS: Final = 1_000_000
"""The finest that RFC 7323 section 5.4 allows, and Linux's: a round trip is known to a millisecond by it."""
_MAXIMUM_ECHO_AGE_MS: Final = 120_000
"""Chosen: no answer to what is alive takes longer, so that an older echo is made up, or of another connection."""


def timestamp(offset: int, now: int) -> int:
    """TSval of a segment that leaves now: milliseconds from a connection's ``offset`` (RFC 7323 section 5.4)."""
    return (now // TIMESTAMP_UNIT_NS + offset) & MASK_32


def echo_age_ns(offset: int, options: Options, now: int) -> int:
    """How long ago what a segment's timestamp echoes was sent, rounded up to the unit; 0 without a credible one."""
    if options.ts_val is None:
        return 0
    age_ms = (timestamp(offset, now) - options.ts_ecr) & MASK_32
    return (age_ms + 1) * TIMESTAMP_UNIT_NS if age_ms < _MAXIMUM_ECHO_AGE_MS else 0


@dataclass
class Shared:
    """What changes, and is the same for all connections.

    ``backlogged``: we do not keep up with the network, packets wait until those before them are processed.
    ``paced``: how many senders wait for their next burst.
    ``observer`` is told what happens (``mptcp_stack.observe``).
    """

    backlogged: bool = False
    paced: int = 0
    observer: Observer | None = None


@dataclass(kw_only=True)
class Context:
    """Timers, counters, the segments that want to leave, and the secret behind unpredictable numbers.

    Connections with settings of their own have a copy: what changes must be in an object that all copies hold.
    """

    config: TcpConfig
    secret: bytes
    congestion: type[CongestionControl]
    link_mtu: Callable[[bytes], int] = lambda _: 0
    """The MTU of the link of one of our addresses, 0 where that of the configuration holds."""
    path_sizes: KnownSizes = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    counters: Counter[str] = field(default_factory=Counter)
    egress: list[Segment] = field(default_factory=list)
    shared: Shared = field(default_factory=Shared)
    connection_numbers: Iterator[int] = field(default_factory=partial(count, 1))
    """By which observations name connections."""

    def local_mss(self, ip: bytes) -> int:
        """The largest segment that we take at one of our addresses (RFC 6691: options not subtracted)."""
        return min(self.mtu(ip) - HEADER_BYTES[len(ip)], self.config.maximum_segment_bytes)

    def mtu(self, ip: bytes) -> int:
        """The largest packet on the link of one of our addresses."""
        return self.link_mtu(ip) or self.config.mtu

    @property
    def window_scale(self) -> int:
        """The smallest shift that lets 16 bits express the receive buffer (RFC 7323 section 2.3)."""
        return min((self.config.receive_buffer_bytes >> 16).bit_length(), MAXIMUM_WINDOW_SCALE)

    def initial_sequence(self, flow: bytes, now: int) -> int:
        """RFC 6528: a clock of 4 us plus a keyed hash of addresses and ports."""
        return (self._keyed_hash(flow) + now // 4000) & MASK_32

    def timestamp_offset(self, addresses: bytes) -> int:
        """RFC 7323 section 5.4: unpredictable, but growing from connection to connection of the same two hosts."""
        return self._keyed_hash(addresses)

    def _keyed_hash(self, value: bytes) -> int:
        return int.from_bytes(blake2b(value, key=self.secret, digest_size=4).digest(), "big")
