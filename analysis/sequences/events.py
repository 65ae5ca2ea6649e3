"""MPTCP connections of our stack's event stream, as the collector `events` gives it: what a sender saw itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from typing_extensions import override

from analysis import sequences

_KINDS = {
    "DataSent": sequences.DATA, "Reinjected": sequences.REINJECTED, "Retransmitted": sequences.RETRANSMITTED,
}  # fmt: skip
_ROLES = {True: "client", False: "server"}


@dataclass
class ObservedConnection(sequences.Connection):
    """A connection with the observations of one of its ends, or of both."""

    observations: dict[str, pd.DataFrame] = field(default_factory=dict)

    @override
    def marks(self, sender: str) -> pd.DataFrame:
        """Return what there is to draw. Raises NoConnection when that side's stack was not observed."""
        if sender not in self.observations:
            raise sequences.NoConnection(f"connection {self.number}: no events of the {sender}'s stack")
        return sequences.frame(_rows(self.observations[sender], self.began_s))


def connections(frame: pd.DataFrame) -> list[ObservedConnection]:
    """Return the MPTCP connections in the frame of the collector `events`, in the order of opening.

    Raises NoConnection when there is none.
    """
    ups = frame[(frame["event"] == "ConnectionUp") & (frame["mptcp"] == True)]  # noqa: E712 (a column with gaps)
    by_end = dict(iter(frame.groupby(["host", "connection"], sort=False)))
    found: dict[frozenset[str], ObservedConnection] = {}
    for up in ups.to_dict("records"):
        own = by_end[up["host"], up["connection"]]
        subflows = own[own["event"] == "SubflowUp"].sort_values("subflow", kind="stable")
        initial = subflows.iloc[0]
        name = frozenset((initial["local"], initial["remote"]))
        if name not in found:
            found[name] = ObservedConnection(len(found) + 1, float(own["time_s"].min()))
        _add(found[name], _ROLES[bool(up["active"])], int(up["token"]), own, subflows)
    if not found:
        raise sequences.NoConnection(f"no MPTCP connection in the events of {', '.join(frame['host'].unique())}")
    return list(found.values())


def _add(
    connection: ObservedConnection, role: str, token: int, observations: pd.DataFrame, subflows: pd.DataFrame
) -> None:
    connection.observations[role] = observations
    connection.tokens[role] = token
    sent = observations[observations["event"].isin(list(_KINDS))]
    connection.sent_bytes[role] = int(sent["length_bytes"].sum())
    connection.began_s = min(connection.began_s, float(observations["time_s"].min()))
    ends = zip(subflows["subflow"], subflows["local"], subflows["remote"], strict=True)
    names = {int(number): f"{local} - {remote}" if role == "client" else f"{remote} - {local}"
             for number, local, remote in ends}  # fmt: skip
    if len(names) > len(connection.subflows):
        connection.subflows = [names.get(number, "never up") for number in range(max(names) + 1)]


def _rows(observations: pd.DataFrame, began_s: float) -> list[tuple[Any, ...]]:
    """Return the rows of the frame; data sequence numbers count from the first byte that was sent."""
    sent = observations[observations["event"] == "DataSent"]
    if sent.empty:
        return []
    first = int(sent["dsn"].min()) - 1
    rows: list[tuple[Any, ...]] = []
    highest: dict[Any, int] = {}

    def rises(what: Any, number: int) -> bool:
        rising = number > highest.get(what, 0)
        highest[what] = max(number, highest.get(what, 0))
        return rising

    for one in _records(observations, [*_KINDS, "Acknowledged"]):
        time_s, subflow, ssn = one["time_s"] - began_s, int(one["subflow"]), int(one["ssn"])
        if one["event"] in _KINDS:
            if not pd.isna(one["dsn"]):  # a SYN or FIN that was sent again has none
                row = _KINDS[one["event"]], ssn, int(one["dsn"]) - first, int(one["length_bytes"])
                rows.append((time_s, subflow, *row))
            continue
        if rises(subflow, ssn):
            rows.append((time_s, subflow, sequences.ACK, ssn, None, None))
        for kind, name in ((sequences.DATA_ACK, "data_ack"), (sequences.WINDOW, "window_edge")):
            number = one.get(name)
            if number is not None and not pd.isna(number) and rises(kind, int(number) - first):
                rows.append((time_s, subflow, kind, None, int(number) - first, None))
    return rows


def _records(observations: pd.DataFrame, events: Sequence[str]) -> list[dict[Any, Any]]:
    wanted = ["time_s", "event", "subflow", "ssn", "dsn", "length_bytes", "data_ack", "window_edge"]
    columns = [name for name in wanted if name in observations]
    return observations[observations["event"].isin(events)][columns].to_dict("records")
