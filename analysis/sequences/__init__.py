"""MPTCP connections as sequence numbers over time, from captures (`pcap`) and from our stack's event stream (`events`).

Rules:

- Numbers are relative, as in the DSS option: 1 is the first byte of a subflow (`ssn`) or of the connection (`dsn`).
- A connection is as one place saw it, on the clock of that place; what is late or lost there depends on the place.
- What is not in a capture is not made up: it is left out, and said in the connection's `notes`.

How it works: `sources.load` makes a list of connections for each place, one of which is chosen by its number or token
(`choose`); its `marks` are a frame of all that there is to draw, for `analysis.figures.time_sequence`. Of a capture,
`pcap` gives every segment to its subflow, and the subflow, by its keys and tokens, to its connection; then each number
is unwrapped and mapped.

    sources     where connections come from: capture files, or what collectors left of a point
    pcap        connections of captures
    joins       why a join of a capture came to nothing
    twins       packets that a capture has twice
    events      connections of our stack's event stream
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError

SENDERS = ("client", "server")
"""Who sends the data of a figure; the client opened the connection."""

DATA, REINJECTED, RETRANSMITTED, LATE = "data", "reinjected", "retransmitted", "late"
SENT = (DATA, REINJECTED, RETRANSMITTED, LATE)
DATA_FIN, ACK, DATA_ACK, WINDOW = "data fin", "ack", "data ack", "window"

_COLUMNS = {
    "time_s": "float64", "subflow": "int64", "kind": "object", "ssn": "Int64", "dsn": "Int64", "length_bytes": "Int64",
}  # fmt: skip


class NoConnection(AnalysisError):
    """There is no such connection; the message is one line."""


@dataclass
class Connection(ABC):
    """An MPTCP connection: `number` in the order of opening from 1, tokens by side, addresses of each subflow.

    `subflows` has "local - remote" of the client for each subflow, the initial one first; `sent_bytes` the payload of
    all subflows by sender, bytes that were sent twice twice; `notes` say what is missing of it.
    """

    number: int
    began_s: float
    tokens: dict[str, int] = field(default_factory=dict)
    subflows: list[str] = field(default_factory=list)
    sent_bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SENDERS, 0))
    notes: list[str] = field(default_factory=list)

    @property
    def sender(self) -> str:
        """The side that sent more."""
        return max(SENDERS, key=lambda sender: self.sent_bytes[sender])

    def first_sent_s(self, sender: str) -> float:
        """Return when the first segment of `sender` was seen, on the clock of the place."""
        return self.began_s

    @abstractmethod
    def marks(self, sender: str) -> pd.DataFrame:
        """Return what there is to draw of the data of `sender`, in the order of time; one row a mark.

        `time_s` since the connection began, `subflow` (its place in `subflows`), `kind`:

        - `data`, `reinjected` (seen on another subflow before), `retransmitted` (seen on this subflow before), `late`
          (below what the subflow sent before, but not seen until now: lost or overtaken ahead of the capture), with
          `ssn`, `dsn` and `length_bytes`; `dsn` is NA for what no mapping is known of;
        - `data fin` with its `dsn`;
        - `ack` with `ssn`, `data ack` with `dsn`: the next byte that the peer waits for;
        - `window` with `dsn`: the first byte that the peer has no room for.
        """


def choose(connections: Sequence[Connection], wanted: str | None) -> Connection:
    """Return the connection with that number ("2") or token ("0x1f2e3d4c"); when None the one with the most bytes.

    Raises NoConnection.
    """
    if wanted is None:
        return max(connections, key=lambda connection: sum(connection.sent_bytes.values()))
    try:
        number = int(wanted, 16 if wanted.lower().startswith("0x") else 10)
    except ValueError as error:
        raise NoConnection(f"'{wanted}' is no connection: a number such as 2 or a token such as 0x1f2e3d4c") from error
    for connection in connections:
        if number in ([*connection.tokens.values()] if wanted.lower().startswith("0x") else [connection.number]):
            return connection
    known = ", ".join(f"{one.number} ({_tokens(one)})" for one in connections[:10])
    raise NoConnection(f"no connection {wanted}; there are {known}{', ...' if len(connections) > 10 else ''}")


def frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return marks as a frame with columns of one type whether or not all of them are filled."""
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def token_text(token: int) -> str:
    """Return a token as it is typed."""
    return f"0x{token:08x}"


def _tokens(connection: Connection) -> str:
    return ", ".join(map(token_text, connection.tokens.values()))
