"""What to do about a slow subflow that holds up the others (Raiciu and others, NSDI 2012, section 4.2).

The peer's window is the connection's: when it is full, the oldest byte that was not acknowledged stops everybody, and
a fast subflow idles although it could send. Then that byte is sent again on the fast one (opportunistic
retransmission), and the subflow that was too slow for this window gets a smaller one (penalisation).
"""

from collections.abc import Iterator
from typing import NamedTuple

from mptcp_stack.mptcp.sending.owner import SendingOwner
from mptcp_stack.mptcp.subflow.subflow import Subflow


class Reinjection(NamedTuple):
    """Bytes that were sent on one subflow and go out on another as well, as the send queue has them."""

    dsn: int
    end: int
    origin: Subflow | None
    due_ns: int = 0
    """When its acknowledgement is expected on ``origin``."""


def outstanding(subflow: Subflow) -> Iterator[Reinjection]:
    """What a subflow has sent and TCP has not acknowledged, burst by burst."""
    for record in subflow.endpoint.sender.scoreboard:
        mapping = record.mapping
        if mapping is not None and record.length:
            dsn = mapping.dsn + record.seq - subflow.endpoint.iss - mapping.ssn
            yield Reinjection(dsn, dsn + record.length, subflow, record.sent_ns + subflow.srtt_ns)


class HeadOfLineBlocking:
    """Looks for the subflow that holds up one connection, and does something about it."""

    __slots__ = ("_connection", "_penalised_ns", "_seen")
    __deletable__ = ("_connection",)

    def __init__(self, connection: SendingOwner) -> None:
        self._connection = connection
        self._seen = -1
        self._penalised_ns = 0

    def relieve(self, base: int, now: int) -> Reinjection | None:
        """The peer's window is full and begins at ``base``: what should be sent again, if anything."""
        config = self._connection.stack.config
        idle = [subflow for subflow in self._connection.subflows if subflow.can_send(subflow.mss, now)]
        if base == self._seen or not idle:
            return None
        self._seen = base
        fastest_ns = min(subflow.srtt_ns for subflow in idle)
        slower = [subflow for subflow in self._connection.subflows if subflow.srtt_ns > fastest_ns]
        for slow, burst in ((subflow, burst) for subflow in slower for burst in outstanding(subflow)):
            if burst.dsn <= base < burst.end:
                if config.penalisation:
                    self._penalise(slow, now)
                pays = burst.due_ns > now + fastest_ns
                return burst if pays and config.opportunistic_retransmission else None
        return None

    def dissolve(self) -> None:
        """The connection is over: nothing refers back."""
        del self._connection

    def _penalise(self, slow: Subflow, now: int) -> None:
        """Once a round trip at the most, and not while losses reduce the window anyway."""
        if now - self._penalised_ns >= slow.srtt_ns and not slow.repairing:
            self._penalised_ns = now
            slow.endpoint.control.penalise()
