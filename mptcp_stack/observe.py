"""What happens inside a stack, as typed observations: what figures and time-sequence diagrams are drawn from.

Give a stack an observer, ``Stack.observe(function)``, and it is called with each observation as it is made; without
one nothing is built. ``as_json`` makes a line of text of an observation. Times are those of the stack's clock in
nanoseconds, sequence numbers unwrapped: ``ssn`` counts the bytes of a subflow from 1, ``dsn`` those of the connection.

A new one is a class here and a function in ``mptcp.subflow.tracepoints``, which is called where it happens.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Observation:
    """``connection`` is a number within the stack, in the order of opening."""

    time_ns: int
    connection: int


@dataclass(slots=True)
class SubflowObservation(Observation):
    """``subflow`` is a number within the connection, in the order of opening; 0 is the initial one."""

    subflow: int


@dataclass(slots=True)
class ConnectionUp(Observation):
    """The first handshake is complete. ``token`` is ours; it means nothing to a peer that speaks TCP only."""

    token: int
    mptcp: bool
    active: bool


@dataclass(slots=True)
class ConnectionDown(Observation):
    """Nothing more happens on a connection; ``error`` is the errno's text, None after an orderly end."""

    error: str | None


@dataclass(slots=True)
class Fallback(Observation):
    """The connection goes on as plain TCP (RFC 8684 section 3.7)."""


@dataclass(slots=True)
class SubflowUp(SubflowObservation):
    """The TCP handshake of a subflow is complete."""

    local: str
    remote: str
    joined: bool
    backup: bool


@dataclass(slots=True)
class SubflowDown(SubflowObservation):
    """A subflow is closed or in TIME-WAIT."""

    error: str | None


@dataclass(slots=True)
class DataSent(SubflowObservation):
    """New data left on a subflow, as one burst."""

    ssn: int
    dsn: int
    length_bytes: int


@dataclass(slots=True)
class Reinjected(SubflowObservation):
    """Data that had been sent on another subflow left on this one as well."""

    ssn: int
    dsn: int
    length_bytes: int


@dataclass(slots=True)
class Retransmitted(SubflowObservation):
    """A subflow sent again what TCP takes for lost; ``dsn`` is None for what carries no data."""

    ssn: int
    dsn: int | None
    length_bytes: int
    transmissions: int


@dataclass(slots=True)
class TimedOut(SubflowObservation):
    """The retransmission timer expired; ``rto_ns`` is the one that is set now."""

    rto_ns: int


@dataclass(slots=True)
class Acknowledged(SubflowObservation):
    """The peer's acknowledgement, and what it left the sender with. ``ssthresh_bytes`` is None while unlimited.

    ``window_edge`` is the first dsn that the peer's window, the connection's, has no room for.
    """

    ssn: int
    data_ack: int
    window_edge: int
    cwnd_bytes: int
    ssthresh_bytes: int | None
    in_flight_bytes: int
    rtt_ns: int
    srtt_ns: int
    rto_ns: int


@dataclass(slots=True)
class DataReceived(SubflowObservation):
    """Bytes in the order of the subflow arrived; ``data_next`` is then the next one of the connection."""

    ssn: int
    length_bytes: int
    data_next: int


Observer = Callable[[Observation], None]


def as_json(observation: Observation) -> str:
    """One line of JSON, without the end of line: the observation's name as ``event``, and its fields."""
    return json.dumps({"event": type(observation).__name__, **asdict(observation)})
