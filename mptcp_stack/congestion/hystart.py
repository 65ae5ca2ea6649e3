"""HyStart++ (RFC 9406): leave slow start when the round-trip time grows, before the queue overflows."""

from typing import Final

# As section 4.3 recommends.
_MINIMUM_RTT_THRESHOLD_NS: Final = 4_000_000
_MAXIMUM_RTT_THRESHOLD_NS: Final = 16_000_000
_RTT_DIVISOR: Final = 8
_SAMPLES: Final = 8
_CONSERVATIVE_GROWTH_DIVISOR: Final = 4
_CONSERVATIVE_ROUNDS: Final = 5
_NO_SAMPLE: Final = (1 << 62) - 1


class HyStart:
    """Watches the rounds of slow start for one congestion control (section 4.2 and 4.3).

    The RFC grows conservatively for five rounds before it ends slow start, in case the longer RTT was a passing one.
    Here a second round of longer RTTs is proof enough: behind a deep queue five rounds, each longer than the one
    before, would fill it with several times what the path holds.
    """

    __slots__ = ("_baseline_ns", "_conservative_rounds", "_last_minimum_ns", "_minimum_ns", "_round", "_samples")

    def __init__(self) -> None:
        self._round = -1
        self._last_minimum_ns = _NO_SAMPLE
        self._minimum_ns = _NO_SAMPLE
        self._samples = 0
        self._baseline_ns = 0
        self._conservative_rounds = 0

    def growth(self, acked_bytes: int, mss: int, rtt_ns: int, round_trip: int) -> float | None:
        """Bytes to add to the window for ``acked_bytes``; None: slow start is over.

        ``rtt_ns`` is the latest sample and ``round_trip`` the number of the current round. An acknowledgement counts
        for as many samples as it covers segments: a receiver of super-segments sends few of them.
        """
        if round_trip != self._round:
            self._begin_round(round_trip)
            if self._conservative_rounds > _CONSERVATIVE_ROUNDS:
                return None
        self._minimum_ns = min(self._minimum_ns, rtt_ns)
        self._samples += max(1, acked_bytes // mss)
        if self._conservative_rounds:
            if self._samples >= _SAMPLES and self._minimum_ns < self._baseline_ns:
                self._conservative_rounds = 0  # the growth was a passing one
            elif self._samples >= _SAMPLES and self._conservative_rounds > 1 and self._has_grown():
                return None
            return acked_bytes / _CONSERVATIVE_GROWTH_DIVISOR
        if self._samples >= _SAMPLES and self._last_minimum_ns != _NO_SAMPLE and self._has_grown():
            self._baseline_ns = self._minimum_ns
            self._conservative_rounds = 1
        return acked_bytes

    def _has_grown(self) -> bool:
        """Whether the smallest RTT of this round is larger than that of the last one, and not by chance."""
        threshold = self._last_minimum_ns // _RTT_DIVISOR
        threshold = max(_MINIMUM_RTT_THRESHOLD_NS, min(threshold, _MAXIMUM_RTT_THRESHOLD_NS))
        return self._minimum_ns >= self._last_minimum_ns + threshold

    def _begin_round(self, round_trip: int) -> None:
        self._round = round_trip
        self._last_minimum_ns = self._minimum_ns
        self._minimum_ns = _NO_SAMPLE
        self._samples = 0
        if self._conservative_rounds:
            self._conservative_rounds += 1
