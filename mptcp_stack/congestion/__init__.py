"""Congestion control: one interface, one file for each algorithm."""

from mptcp_stack.congestion.balia import Balia
from mptcp_stack.congestion.base import CongestionControl
from mptcp_stack.congestion.cubic import Cubic
from mptcp_stack.congestion.lia import Lia
from mptcp_stack.congestion.olia import Olia
from mptcp_stack.congestion.reno import Reno
from mptcp_stack.congestion.wvegas import WeightedVegas

ALGORITHMS: dict[str, type[CongestionControl]] = {
    control.name: control for control in (Reno, Cubic, Lia, Olia, Balia, WeightedVegas)
}
"""Congestion controls by name; a user's own goes by ``module:Class`` (``mptcp_stack.stack.plug``)."""

__all__ = ["ALGORITHMS", "Balia", "CongestionControl", "Cubic", "Lia", "Olia", "Reno", "WeightedVegas"]
