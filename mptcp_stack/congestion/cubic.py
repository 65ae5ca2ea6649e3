"""CUBIC (RFC 9438): the window grows as a cubic function of the time since the last loss."""

from mptcp_stack.congestion.base import CongestionControl

_C = 0.4
_BETA = 0.7
_RENO_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)


class Cubic(CongestionControl):
    """RFC 9438 with fast convergence and the Reno-friendly region; windows in segments inside, as in the RFC."""

    name = "cubic"

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self._w_max = 0.0
        self._epoch_start_ns: int | None = None
        self._k = 0.0
        self._w_est = 0.0

    def increase(self, acked_bytes: int, now: int) -> float:
        cwnd = self.cwnd / self.mss
        acked = acked_bytes / self.mss
        if self._epoch_start_ns is None:
            self._begin_epoch(cwnd, now)
        assert self._epoch_start_ns is not None
        elapsed = (now - self._epoch_start_ns) / 1e9
        rtt = self.srtt_ns / 1e9
        target = self._w_max + _C * (elapsed + rtt - self._k) ** 3
        target = min(max(target, cwnd), 1.5 * cwnd)
        alpha = 1.0 if self._w_est >= self._w_max else _RENO_ALPHA
        self._w_est += alpha * acked / cwnd
        growth = (target - cwnd) * acked / cwnd
        return max(growth, self._w_est - cwnd) * self.mss

    def _begin_epoch(self, cwnd: float, now: int) -> None:
        self._epoch_start_ns = now
        self._w_max = max(self._w_max, cwnd)
        self._k = ((self._w_max - cwnd) / _C) ** (1 / 3)
        self._w_est = cwnd

    def decrease(self, now: int) -> float:
        cwnd = self.cwnd / self.mss
        # Fast convergence (section 4.7): a flow that could not come back to its last maximum makes room.
        self._w_max = cwnd * (1 + _BETA) / 2 if cwnd < self._w_max else cwnd
        self._epoch_start_ns = None
        return self.cwnd * _BETA
