"""The TCP state machine as a table (RFC 9293 section 3.3.2, figure 5)."""

from enum import Enum, IntEnum, auto
from typing import Final


class State(IntEnum):
    """Connection states: integers, as they are looked up in sets for every segment. Their order means nothing."""

    CLOSED = 0
    SYN_SENT = 1
    SYN_RECEIVED = 2
    ESTABLISHED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    CLOSE_WAIT = 6
    CLOSING = 7
    LAST_ACK = 8
    TIME_WAIT = 9

    def __str__(self) -> str:
        """The name in RFC 9293: FIN-WAIT-1."""
        return self.name.replace("_", "-")


class Event(Enum):
    """What moves a connection from state to state."""

    ACTIVE_OPEN = auto()
    PASSIVE_OPEN = auto()
    SYN_WITHOUT_ACK = auto()
    SYN_ACKED = auto()
    CLOSE = auto()
    FIN_RECEIVED = auto()
    FIN_ACKED = auto()
    ABORT = auto()


ACKNOWLEDGING: Final = frozenset(State) - {State.CLOSED, State.SYN_SENT}
"""There is something of the peer's to acknowledge."""
SYNCHRONISED: Final = frozenset(State) - {State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED}
"""The handshake is complete, and the connection not over (RFC 9293 section 3.5.2)."""
MAY_SEND: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT})
MAY_RECEIVE: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.CLOSED, Event.ACTIVE_OPEN): State.SYN_SENT,
    (State.CLOSED, Event.PASSIVE_OPEN): State.SYN_RECEIVED,
    (State.SYN_SENT, Event.SYN_ACKED): State.ESTABLISHED,
    (State.SYN_SENT, Event.SYN_WITHOUT_ACK): State.SYN_RECEIVED,
    (State.SYN_RECEIVED, Event.SYN_ACKED): State.ESTABLISHED,
    (State.SYN_RECEIVED, Event.CLOSE): State.FIN_WAIT_1,
    (State.ESTABLISHED, Event.CLOSE): State.FIN_WAIT_1,
    (State.ESTABLISHED, Event.FIN_RECEIVED): State.CLOSE_WAIT,
    (State.FIN_WAIT_1, Event.FIN_RECEIVED): State.CLOSING,
    (State.FIN_WAIT_1, Event.FIN_ACKED): State.FIN_WAIT_2,
    (State.FIN_WAIT_2, Event.FIN_RECEIVED): State.TIME_WAIT,
    (State.CLOSE_WAIT, Event.CLOSE): State.LAST_ACK,
    (State.CLOSING, Event.FIN_ACKED): State.TIME_WAIT,
    (State.LAST_ACK, Event.FIN_ACKED): State.CLOSED,
    **{(state, Event.ABORT): State.CLOSED for state in State},
}


def advance(state: State, event: Event) -> State:
    """The state after ``event``; the same state where the event has no meaning."""
    return TRANSITIONS.get((state, event), state)
