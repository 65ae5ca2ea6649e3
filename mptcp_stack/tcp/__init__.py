"""TCP: one connection as a sans-IO endpoint (RFC 9293).

Rules:

1. An endpoint has no stream. Its ``Upper`` gives it bursts to send and takes what is in order; plain TCP and an MPTCP
   subflow are the same here.
2. Time is an argument. Timers are the stack's (``Context.timers``); each names the upper layer it belongs to, so that
   what goes wrong in one ends that connection alone.
3. Sequence numbers are unwrapped: they are cut to 32 bits when a segment is made and expanded when one comes.
4. State changes by the table of ``states`` alone. What a segment cannot be is dropped, counted, or challenged.
5. A segment is a burst, up to 64 KB: per-packet work is for the device and for ``wire``.

How it works. In: ``Endpoint.receive`` looks whether a segment is acceptable, gives what it acknowledges to the
``Sender`` (``Scoreboard``: what is under way; ``Recovery``: what of it is lost; round-trip time; congestion control),
tells the upper layer, and gives its payload to the ``Receiver``, which hands on what is in order. Out: ``transmit``
makes a ``Record`` and a segment of a burst, ``retransmit`` sends again what recovery says, and segments wait in
``Context.egress`` until the stack takes them.

The end: an endpoint that reaches CLOSED or TIME-WAIT stops its timers, then says ``on_closed``, after which it calls
nobody. A few bytes take its place in the stack (``TimeWaits``) until the last late segment has come. When nobody is in
a call of it any more it is ``dissolved``: what refers back in it goes, so that reference counts free it.
"""

from mptcp_stack.tcp.address import Address
from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.endpoint import Endpoint
from mptcp_stack.tcp.recovery import Phase
from mptcp_stack.tcp.scoreboard import Record
from mptcp_stack.tcp.sender import Sender
from mptcp_stack.tcp.states import State
from mptcp_stack.tcp.time_wait import TimeWait, TimeWaits
from mptcp_stack.tcp.upper import Upper, Verdict

__all__ = [
    "Address", "Context", "Endpoint", "Phase", "Record", "Sender", "State", "TcpConfig", "TimeWait",
    "TimeWaits", "Upper", "Verdict",
]  # fmt: skip
