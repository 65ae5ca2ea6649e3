"""Congestion control: one interface, one file for each algorithm."""

from mptcp_stack.congestion.base import CongestionControl
from mptcp_stack.congestion.cubic import Cubic
from mptcp_stack.congestion.lia import Lia
from mptcp_stack.congestion.reno import Reno

ALGORITHMS: dict[str, type[CongestionControl]] = {control.name: control for control in (Reno, Cubic, Lia)}
"""Congestion controls by name; a user's own goes by ``module:Class`` (``mptcp_stack.stack.plug``)."""

__all__ = ["ALGORITHMS", "CongestionControl", "Cubic", "Lia", "Reno"]
