"""A connection between its SYN and the third ACK, as a listener sees it."""

from dataclasses import dataclass

from mptcp_stack.mptcp.keys import Key
from mptcp_stack.wire import Segment


@dataclass(slots=True)
class HalfOpen:
    """The SYN without its payload, our initial sequence number, and our key if the answer offered MPTCP.

    ``sent_ns``: when the SYN/ACK was sent last, 0 where a cookie brought it back and nobody knows; ``transmissions``:
    how often; ``deadline_ns``: when it is sent again.
    """

    syn: Segment
    iss: int
    key: Key | None
    sent_ns: int = 0
    transmissions: int = 0
    timeouts: int = 0
    deadline_ns: int = 0
