"""OLIA, opportunistic linked increases (draft-khalili-mptcp-congestion-control; Khalili and others, CoNEXT 2012)."""

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.base import CongestionControl
from mptcp_stack.congestion.coupled import Coupled


@mypyc_attr(allow_interpreted_subclasses=True)
class Olia(Coupled):
    """Optimal balance (the first term) and responsiveness (``alpha``, which moves window to the best paths)."""

    name = "olia"
    remembered = (*Coupled.remembered, "_since_loss_bytes", "_between_losses_bytes")

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self._since_loss_bytes = 0
        self._between_losses_bytes = 0

    def on_ack(self, acked_bytes: int, now: int) -> None:
        self._since_loss_bytes += acked_bytes
        super().on_ack(acked_bytes, now)

    def on_congestion(self, now: int) -> None:
        super().on_congestion(now)
        self._between_losses_bytes = self._since_loss_bytes
        self._since_loss_bytes = 0

    def quality(self) -> float:
        """What the paper ranks paths by: the square of the rate that TCP would have here, by the distance of losses."""
        return max(self._since_loss_bytes, self._between_losses_bytes) / self.srtt_ns**2

    def gain(self) -> float:
        if not self.srtt_ns:
            return 1 / self.cwnd
        rates = sum(member.cwnd / member.srtt_ns for member in self.members())
        return self.cwnd / self.srtt_ns**2 / rates**2 + self.alpha() / self.cwnd

    def alpha(self) -> float:
        """Positive on a best path whose window is not the largest, negative on the largest if there is such a path."""
        members = [member for member in self.members() if isinstance(member, Olia)]
        best_quality = max(member.quality() for member in members)
        largest_cwnd = max(member.cwnd for member in members)
        largest = [member for member in members if member.cwnd == largest_cwnd]
        collected = [member for member in members if member.quality() == best_quality and member not in largest]
        if self in collected:
            return 1 / (len(members) * len(collected))
        if self in largest and collected:
            return -1 / (len(members) * len(largest))
        return 0.0
