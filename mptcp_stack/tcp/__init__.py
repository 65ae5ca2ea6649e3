"""TCP: one connection as a sans-IO endpoint (RFC 9293)."""

from mptcp_stack.tcp.address import Address
from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.endpoint import Endpoint
from mptcp_stack.tcp.recovery import Phase
from mptcp_stack.tcp.scoreboard import Record
from mptcp_stack.tcp.sender import Sender
from mptcp_stack.tcp.states import State
from mptcp_stack.tcp.time_wait import TimeWait
from mptcp_stack.tcp.upper import Upper, Verdict

__all__ = [
    "Address", "Context", "Endpoint", "Phase", "Record", "Sender", "State", "TcpConfig", "TimeWait", "Upper", "Verdict",
]  # fmt: skip
