"""Everything on every subflow: latency instead of capacity."""

from mypy_extensions import mypyc_attr

from mptcp_stack.mptcp.scheduler.lowest_rtt import LowestRtt


@mypyc_attr(allow_interpreted_subclasses=True)
class Redundant(LowestRtt):
    """Every byte on every usable subflow; what arrives first counts, and one path that dies delays nothing."""

    name = "redundant"
    redundant = True
    patient = False
