"""wVegas, weighted Vegas: coupled by delay instead of loss (Cao and others, ICNP 2012)."""

from typing import Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.congestion.base import MINIMUM_WINDOW_SEGMENTS, CongestionControl

_TOTAL_SEGMENTS: Final = 10
"""What all subflows together keep in queues, as in the authors' implementation for Linux."""
_LEAST_SEGMENTS: Final = 2
"""What a slow subflow may keep there all the same: also the authors'."""
_SLOW_START_SEGMENTS: Final = 1
"""With more than that in a queue slow start is over: the authors' gamma, as in TCP Vegas of Linux."""


@mypyc_attr(allow_interpreted_subclasses=True)
class WeightedVegas(CongestionControl):
    """Each subflow keeps its share of a fixed number of segments queued, shares going by rate.

    So the price of a path, its queueing delay, becomes the same on all of them, and traffic leaves crowded paths before
    anything is lost. Losses halve the window as they do Reno's.
    """

    name = "wvegas"
    uses_hystart = False

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self._base_ns = 0
        self._least_queueing_ns = 0.0
        self._target_segments = float(_TOTAL_SEGMENTS)
        self._round = -1
        self._sum_ns = 0
        self._samples = 0

    @property
    @override
    def catch_up_bytes(self) -> int:
        """Nothing: a burst of its own would look like a queue."""
        return 0

    def _slow_start(self, acked_bytes: int) -> None:
        rtt_ns = self._round_rtt_ns()
        if rtt_ns and self._queued_segments(rtt_ns) > _SLOW_START_SEGMENTS:
            self.cwnd = max(self.cwnd * self._base_ns / rtt_ns + self.mss, MINIMUM_WINDOW_SEGMENTS * self.mss)
            self.ssthresh = self.cwnd
        else:
            super()._slow_start(acked_bytes)

    def increase(self, acked_bytes: float, now: int) -> float:
        rtt_ns = self._round_rtt_ns()
        if not rtt_ns:
            return 0.0
        queued = self._queued_segments(rtt_ns)
        if queued >= self._target_segments:
            self._target_segments = max(self._share() * _TOTAL_SEGMENTS, _LEAST_SEGMENTS)
        wanted = self.cwnd + (self.mss if queued < self._target_segments else -self.mss)
        if self._is_crowded(rtt_ns - self._base_ns):
            wanted *= self._base_ns / (2 * rtt_ns)
        return max(wanted, MINIMUM_WINDOW_SEGMENTS * self.mss) - self.cwnd

    def _round_rtt_ns(self) -> float:
        """The average of the last round trip when a new one begins, 0 otherwise."""
        self._base_ns = min(self._base_ns or self.rtt_ns, self.rtt_ns)
        self._sum_ns += self.rtt_ns
        self._samples += 1
        if self.round_trip == self._round:
            return 0
        self._round = self.round_trip
        average_ns = self._sum_ns / self._samples
        self._sum_ns = self._samples = 0
        return average_ns

    def _queued_segments(self, rtt_ns: float) -> float:
        """How much of the window waits in queues."""
        return self.cwnd / self.mss * (rtt_ns - self._base_ns) / rtt_ns

    def _is_crowded(self, queueing_ns: float) -> bool:
        """Whether the queue should run empty once: what hides in it would be taken for part of the path's length."""
        if not self._least_queueing_ns or queueing_ns < self._least_queueing_ns:
            self._least_queueing_ns = queueing_ns
        elif queueing_ns >= 2 * self._least_queueing_ns:
            self._least_queueing_ns = 0.0
            return True
        return False

    def _share(self) -> float:
        """This subflow's part of the rate of all."""
        return self.cwnd / self.srtt_ns / sum(member.cwnd / member.srtt_ns for member in self.members())
