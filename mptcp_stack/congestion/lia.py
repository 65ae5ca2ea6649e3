"""LIA, the coupled increase of MPTCP (RFC 6356): never more aggressive than one TCP on the best path."""

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.coupled import Coupled


@mypyc_attr(allow_interpreted_subclasses=True)
class Lia(Coupled):
    """RFC 6356 section 3."""

    name = "lia"

    def gain(self) -> float:
        total = sum(member.cwnd for member in self.members())
        return min(self.alpha() / total, 1 / self.cwnd)

    def alpha(self) -> float:
        """The aggressiveness factor of RFC 6356 section 3, equation 2; 1 with one subflow."""
        members = self.members()
        if len(members) < 2 or not self.srtt_ns:
            return 1.0
        total = sum(member.cwnd for member in members)
        best = max(member.cwnd / member.srtt_ns**2 for member in members)
        rates = sum(member.cwnd / member.srtt_ns for member in members)
        return total * best / rates**2
