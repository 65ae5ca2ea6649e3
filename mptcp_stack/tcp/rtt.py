"""Round-trip time and retransmission timeout (RFC 6298)."""

CLOCK_GRANULARITY_NS = 1_000_000
MINIMUM_RTO_NS = 200_000_000
"""Linux's bound. RFC 6298 asks for 1 s but lets an implementation with a finer clock go below (section 2.4)."""
MAXIMUM_RTO_NS = 60_000_000_000
INITIAL_RTO_NS = 1_000_000_000
RETRIED_HANDSHAKE_RTO_NS = 3_000_000_000


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
