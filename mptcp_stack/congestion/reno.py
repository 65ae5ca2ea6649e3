"""Reno's window: one segment a round trip, halved at a loss (RFC 5681, appropriate byte counting of RFC 3465)."""

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.base import CongestionControl


@mypyc_attr(allow_interpreted_subclasses=True)
class Reno(CongestionControl):
    """RFC 5681."""

    name = "reno"
    uses_hystart = False

    def increase(self, acked_bytes: float, now: int) -> float:
        return self.mss * acked_bytes / self.cwnd
