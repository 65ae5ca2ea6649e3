"""Deterministic network simulator: stacks, links and applications in memory, from event to event.

Nothing here reads a clock or the system's entropy. A `Network` made twice from the same seed with the same
hosts, links and applications sends the same packets at the same nanoseconds, byte for byte.
"""

from mptcp_stack.sim.application import (
    Application,
    Echo,
    RequestClient,
    RequestServer,
    Sink,
    Source,
    pattern,
)
from mptcp_stack.sim.clock import MILLISECOND, SECOND, Clock
from mptcp_stack.sim.link import Link, LinkCounters, LinkSpec, Middlebox
from mptcp_stack.sim.network import Host, Network, SimulationError
from mptcp_stack.sim.trace import TraceRecord, describe_packet

__all__ = [
    "MILLISECOND",
    "SECOND",
    "Application",
    "Clock",
    "Echo",
    "Host",
    "Link",
    "LinkCounters",
    "LinkSpec",
    "Middlebox",
    "Network",
    "RequestClient",
    "RequestServer",
    "SimulationError",
    "Sink",
    "Source",
    "TraceRecord",
    "describe_packet",
    "pattern",
]
