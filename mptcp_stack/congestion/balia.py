"""BALIA, the balanced linked adaptation (draft-walid-mptcp-congestion-control; Peng and others, ToN 2016)."""

from typing import Final

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.coupled import Coupled

_LARGEST_DECREASE: Final = 1.5
"""The draft's: a loss takes three quarters of a window at the most."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Balia(Coupled):
    """Between LIA's friendliness and OLIA's responsiveness; ``x`` is the rate of a subflow, window over RTT."""

    name = "balia"

    def gain(self) -> float:
        if not self.srtt_ns:
            return 1 / self.cwnd
        rates = sum(member.cwnd / member.srtt_ns for member in self.members())
        alpha = self.alpha()
        return self.cwnd / self.srtt_ns**2 / rates**2 * (1 + alpha) / 2 * (4 + alpha) / 5

    def decrease(self, now: int) -> float:
        return self.cwnd - self.cwnd / 2 * min(self.alpha(), _LARGEST_DECREASE)

    def alpha(self) -> float:
        """The rate of the fastest subflow in rates of this one, at least 1."""
        if not self.srtt_ns:
            return 1.0
        return max(member.cwnd / member.srtt_ns for member in self.members()) * self.srtt_ns / self.cwnd
