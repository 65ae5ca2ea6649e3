"""Congestion control: one interface, one file for each algorithm.

Rules:

1. A control has a window in bytes for one subflow, and sees those of the connection's other subflows through ``group``.
2. It is told what happened and decides about the window alone: what is lost and what is sent again is TCP's recovery.
3. It keeps no time and no timers: ``now`` comes with each call.

How it works. TCP calls ``on_ack`` when data left the network while the window was full: slow start (with HyStart++,
RFC 9406) below ``ssthresh``, else ``increase``. ``on_congestion`` comes once a window of losses, ``on_timeout`` after
it when nothing came back, ``restore`` when there was no loss after all. ``Coupled`` looks at the other subflows once a
round trip, so that a connection is no more aggressive than one TCP on its best path (RFC 6356).
"""

from typing import Final

from mptcp_stack.congestion.balia import Balia
from mptcp_stack.congestion.base import CongestionControl
from mptcp_stack.congestion.cubic import Cubic
from mptcp_stack.congestion.lia import Lia
from mptcp_stack.congestion.olia import Olia
from mptcp_stack.congestion.reno import Reno
from mptcp_stack.congestion.wvegas import WeightedVegas

ALGORITHMS: Final[dict[str, type[CongestionControl]]] = {
    control.name: control for control in (Reno, Cubic, Lia, Olia, Balia, WeightedVegas)
}
"""Congestion controls by name; a user's own goes by ``module:Class`` (``mptcp_stack.mptcp.plugins``)."""

__all__ = ["ALGORITHMS", "Balia", "CongestionControl", "Cubic", "Lia", "Olia", "Reno", "WeightedVegas"]
