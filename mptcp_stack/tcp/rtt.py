"""Round-trip time and retransmission timeout (RFC 6298)."""

from typing import Final

from mptcp_stack.tcp.context import echo_age_ns
from mptcp_stack.wire import Options

CLOCK_GRANULARITY_NS: Final = 1_000_000
"""G of RFC 6298 section 2: about the resolution of an event loop's timers, and that of our timestamps."""
MINIMUM_RTO_NS: Final = 200_000_000
"""Linux's bound. RFC 6298 asks for 1 s but lets an implementation with a finer clock go below (section 2.4)."""
MAXIMUM_RTO_NS: Final = 60_000_000_000
"""The least that RFC 6298 section 2.5 allows, half of Linux's: a path that is back is noticed within a minute."""
INITIAL_RTO_NS: Final = 1_000_000_000
"""RFC 6298 section 2.1."""
RETRIED_HANDSHAKE_RTO_NS: Final = 3_000_000_000
"""RFC 6298 section 5.7."""


class EchoRtt:
    """The round trip as a receiver sees it, in nanoseconds: from an acknowledgement to the first data that echo it.

    ``rtt_ns``: 0 before the first sample. Needs timestamps; so Linux sizes its receive buffer, too.
    """

    __slots__ = ("_echo", "_heard_ns", "rtt_ns")

    def __init__(self) -> None:
        self._echo: int | None = None
        self._heard_ns = 0
        self.rtt_ns = 0

    def hear(self, options: Options, timestamp_offset: int, srtt_ns: int, now: int) -> None:
        """Data came with ``options``; ``srtt_ns`` is what our own sending has measured, or 0."""
        idle_ns, self._heard_ns = now - self._heard_ns, now
        if options.ts_ecr == self._echo:
            return
        self._echo = options.ts_ecr
        age_ns = echo_age_ns(timestamp_offset, options, now)
        rtt_ns = self.rtt_ns or srtt_ns or age_ns
        if age_ns and idle_ns <= rtt_ns:  # after a longer silence it was the sender that rested
            self.rtt_ns = rtt_ns + (age_ns - rtt_ns) // 8


class RttEstimator:
    """Smoothed RTT, its variation, the latest and the smallest RTT and the RTO, in nanoseconds; 0: no sample yet."""

    __slots__ = ("_initial_ns", "backoff", "latest_ns", "minimum_ns", "srtt_ns", "variation_ns")

    def __init__(self) -> None:
        self.srtt_ns = 0
        self.variation_ns = 0
        self.minimum_ns = 0
        self.latest_ns = 0
        self.backoff = 0
        self._initial_ns = INITIAL_RTO_NS

    def end_handshake(self) -> None:
        """The SYN was acknowledged: its back-off does not go on with data (RFC 6298 section 5.7)."""
        if self.backoff:
            self.backoff = 0
            self._initial_ns = RETRIED_HANDSHAKE_RTO_NS

    def sample(self, rtt_ns: int) -> None:
        """One measurement that belongs to one transmission without doubt (Karn's rule). Ends a back-off."""
        self.latest_ns = rtt_ns = max(rtt_ns, 1)
        if self.srtt_ns:
            self.variation_ns += (abs(self.srtt_ns - rtt_ns) - self.variation_ns) // 4
            self.srtt_ns += (rtt_ns - self.srtt_ns) // 8
            self.minimum_ns = min(self.minimum_ns, rtt_ns)
        else:
            self.srtt_ns = rtt_ns
            self.variation_ns = rtt_ns // 2
            self.minimum_ns = rtt_ns
        self.backoff = 0

    @property
    def rto_ns(self) -> int:
        """The current timeout, back-off included."""
        base = self._initial_ns
        if self.srtt_ns:
            base = self.srtt_ns + max(CLOCK_GRANULARITY_NS, 4 * self.variation_ns)
            base = max(base, self.srtt_ns + MINIMUM_RTO_NS)
        return min(base << self.backoff, MAXIMUM_RTO_NS)
