"""LIA, the coupled increase of MPTCP (RFC 6356): never more aggressive than one TCP on the best path."""

from mptcp_stack.congestion.base import CongestionControl


class Lia(CongestionControl):
    """RFC 6356 section 3; slow start and decrease are those of Reno."""

    name = "lia"

    def increase(self, acked_bytes: int, now: int) -> float:
        total = sum(member.cwnd for member in self.group)
        coupled = self.alpha() * acked_bytes * self.mss / total
        return min(coupled, acked_bytes * self.mss / self.cwnd)

    def alpha(self) -> float:
        """The aggressiveness factor of RFC 6356 section 3, equation 2; 1 while no other subflow has an RTT yet."""
        measured = [member for member in self.group if member.srtt_ns]
        if len(measured) < 2:
            return 1.0
        total = sum(member.cwnd for member in measured)
        best = max(member.cwnd / member.srtt_ns**2 for member in measured)
        rates = sum(member.cwnd / member.srtt_ns for member in measured)
        return total * best / rates**2
