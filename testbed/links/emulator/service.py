"""When a frame has left a link's queue: by a rate that may change at known times, or by a delivery trace.

Frames are served one after the other. Every change of the rate is known beforehand, so that the time at which
a frame will have been sent is known when it is offered: no timer per frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

_SECOND, _MS = 1_000_000_000, 1_000_000


class RateService:
    """A rate in bit/s, 0 for none (frames leave at once), that takes the next of `rates_bps` at each change."""

    def __init__(self, rates_bps: Sequence[int]) -> None:
        self._rates_bps = rates_bps
        self._changes_ns: list[int] = []
        self.free_ns = 0

    def start(self, zero_ns: int, changes_ns: list[int]) -> None:
        """The times of the changes, now that they are known; until then the first rate holds."""
        self._changes_ns = changes_ns

    def stop(self) -> None:
        """Back to the first rate."""
        self._changes_ns = []

    def sent_ns(self, length_bytes: int, now_ns: int) -> int:
        """When a frame that is offered now has been sent."""
        start_ns = self.free_ns if self.free_ns > now_ns else now_ns
        bits = length_bytes * 8 * _SECOND  # bit x ns per second: the unit of a time times a rate
        changes_ns = self._changes_ns
        index = bisect_right(changes_ns, start_ns)
        while True:
            rate_bps = self._rates_bps[index]
            if not rate_bps:
                break
            if index == len(changes_ns) or bits <= (changes_ns[index] - start_ns) * rate_bps:
                start_ns += bits // rate_bps
                break
            bits -= (changes_ns[index] - start_ns) * rate_bps
            start_ns = changes_ns[index]
            index += 1
        self.free_ns = start_ns
        return start_ns

    def cut(self, at_ns: int) -> None:
        """Forget what would have been sent after `at_ns`."""
        self.free_ns = at_ns


class TraceService:
    """Opportunities to deliver `packet_bytes` each, at times in ms from the start, anew after the last.

    Until the start the mean rate holds. What fits shares an opportunity; one longer than what is left of it goes on
    with the next.
    """

    def __init__(self, opportunities_ms: Sequence[int], packet_bytes: int) -> None:
        self._times_ns = [ms * _MS for ms in opportunities_ms]
        self._period_ns = self._times_ns[-1]
        self._packet_bytes = packet_bytes
        self._before = RateService([len(self._times_ns) * packet_bytes * 8 * _SECOND // self._period_ns])
        self._zero_ns: int | None = None
        self._number = -1
        self._left_bytes = 0
        self.free_ns = 0

    def start(self, zero_ns: int, changes_ns: list[int]) -> None:
        """Begin the trace at `zero_ns`; no change concerns it."""
        self._zero_ns = zero_ns
        self.cut(zero_ns)

    def stop(self) -> None:
        """Back to the mean rate."""
        self._zero_ns = None

    def sent_ns(self, length_bytes: int, now_ns: int) -> int:
        """When the last byte of a frame that is offered now has been sent."""
        if self._zero_ns is None:
            return self._before.sent_ns(length_bytes, now_ns)
        if now_ns > self.free_ns:
            self.cut(now_ns)
        while length_bytes > self._left_bytes:
            length_bytes -= self._left_bytes
            self._number += 1
            self._left_bytes = self._packet_bytes
        self._left_bytes -= length_bytes
        self.free_ns = self._time_ns(self._number)
        return self.free_ns

    def cut(self, at_ns: int) -> None:
        """Forget what would have been sent after `at_ns`: the first opportunity not before it is the next."""
        assert self._zero_ns is not None
        elapsed_ns, self._number = at_ns - self._zero_ns, -1
        if elapsed_ns > 0:
            # One less: the last of a round falls on the beginning of the next, and is not to be passed over.
            rounds, rest_ns = divmod(elapsed_ns - 1, self._period_ns)
            self._number += rounds * len(self._times_ns) + bisect_right(self._times_ns, rest_ns)
        self._left_bytes = 0
        self.free_ns = at_ns

    def _time_ns(self, number: int) -> int:
        assert self._zero_ns is not None
        rounds, index = divmod(number, len(self._times_ns))
        return self._zero_ns + rounds * self._period_ns + self._times_ns[index]


Service = RateService | TraceService
