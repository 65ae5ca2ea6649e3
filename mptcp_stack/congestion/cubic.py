"""CUBIC (RFC 9438): the window grows as a cubic function of the time since the last loss."""

from typing import Final

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.base import CongestionControl

_C: Final = 0.4
"""RFC 9438 section 5.1."""
_BETA: Final = 0.7
"""RFC 9438 section 4.6."""
_RENO_ALPHA: Final = 3 * (1 - _BETA) / (1 + _BETA)
"""Also above the window before the last reduction, as in Linux. With 1 there (RFC 9438 section 4.3) goodput is 1.1
times as much in the simulator where 1 % or 3 % of the packets are lost."""
_UNKNOWN_SHARE: Final = 0.05
"""Growth of the window a round trip, at least, while no loss has shown how much the path carries; Linux's figure."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Cubic(CongestionControl):
    """RFC 9438 with fast convergence and the Reno-friendly region, as far as Linux has it; segments inside."""

    name = "cubic"
    remembered = (
        *CongestionControl.remembered, "_w_max", "_origin", "_epoch_start_ns", "_increased_ns", "_k", "_w_est",
    )  # fmt: skip

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self._w_max = 0.0
        self._origin = 0.0
        self._epoch_start_ns: int | None = None
        self._increased_ns = 0
        self._k = 0.0
        self._w_est = 0.0

    def increase(self, acked_bytes: float, now: int) -> float:
        cwnd = self.cwnd / self.mss
        acked = acked_bytes / self.mss
        if self._epoch_start_ns is None:
            self._epoch_start_ns = self._begin_epoch(cwnd, now)
        else:
            # While the window is not in use time stands still (section 5.8): acknowledgements come each round trip.
            self._epoch_start_ns += max(0, now - self._increased_ns - 2 * self.srtt_ns)
        self._increased_ns = now
        elapsed = (now - self._epoch_start_ns) / 1e9
        self._w_est += _RENO_ALPHA * acked / cwnd
        if self._cubic(elapsed) < self._w_est:
            growth = max(0.0, self._w_est - cwnd) * self.mss  # the Reno-friendly region (section 4.3)
        else:
            target = min(max(self._cubic(elapsed + self.srtt_ns / 1e9), cwnd), 1.5 * cwnd)
            growth = (target - cwnd) * acked / cwnd * self.mss
        return growth if self._w_max else max(growth, _UNKNOWN_SHARE * acked_bytes)

    def _cubic(self, elapsed: float) -> float:
        return self._origin + _C * (elapsed - self._k) ** 3

    def _begin_epoch(self, cwnd: float, now: int) -> int:
        self._origin = max(self._w_max, cwnd)
        self._k = ((self._origin - cwnd) / _C) ** (1 / 3)
        self._w_est = cwnd
        return now

    def decrease(self, now: int) -> float:
        cwnd = self.cwnd / self.mss
        # Fast convergence (section 4.7): a flow that could not come back to its last maximum makes room.
        self._w_max = cwnd * (1 + _BETA) / 2 if cwnd < self._w_max else cwnd
        self._epoch_start_ns = None
        return self.cwnd * _BETA

    def on_timeout(self, now: int) -> None:
        super().on_timeout(now)
        # Section 4.8: the next epoch begins at its own window, with K = 0.
        self._w_max = 0.0
        self._epoch_start_ns = None
