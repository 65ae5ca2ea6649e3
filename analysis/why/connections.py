"""MPTCP connections out of TCP connections: who asked for one, and who asked to join which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from analysis import capture
from analysis import mptcp_options as options
from analysis.capture import Address
from analysis.sequences import SENDERS
from analysis.why.flows import Flow, Seen

CLIENT, SERVER = SENDERS


@dataclass
class Connection:
    """An MPTCP connection, or what asked to be one.

    `first` is its initial subflow, None when that is in no capture; `keys` by side, as far as they are known;
    `stripped` are TCP connections that look like joins of it which lost their MP_JOIN before they were seen.
    """

    first: Flow | None
    version: int = 1
    keys: dict[str, bytes] = field(default_factory=dict)
    joins: list[Flow] = field(default_factory=list)
    stripped: list[Flow] = field(default_factory=list)

    def __str__(self) -> str:
        return str(self.first) if self.first else "a connection that began before the captures"

    @property
    def flows(self) -> list[Flow]:
        """Return the initial subflow and all that asked to join."""
        return [self.first, *self.joins] if self.first else self.joins

    @cached_property
    def end_of_data(self) -> Seen | None:
        """Return the packet with which the second of both sides ends its data, None when that is not seen."""
        ends: dict[str, Seen] = {}
        for flow in self.flows:
            for seen in flow.views[0].seen:
                if options.ends_data(seen.segment) or (flow is self.first and seen.segment.flags & capture.FIN):
                    side = self.side(flow, seen.segment.source)
                    ends[side] = min(ends.get(side, seen), seen, key=lambda one: one.time_ns)
        return max(ends.values(), key=lambda one: one.time_ns) if len(ends) == len(SENDERS) else None

    def side(self, flow: Flow, end: Address) -> str:
        """Return whose end of a flow an address is."""
        opened_by = CLIENT if flow is self.first or self.joined_side(flow) == SERVER else SERVER
        return opened_by if end == flow.opener else (SERVER if opened_by == CLIENT else CLIENT)

    def joined_side(self, flow: Flow) -> str:
        """Return which side a flow asked to join: whose token it named."""
        token = asked_token(flow)
        mine = self.keys.get(CLIENT)
        return CLIENT if mine is not None and token == options.token(mine, self.version) else SERVER

    def key(self, flow: Flow, end: Address) -> bytes | None:
        """Return the key of the side that has an end of a flow."""
        return self.keys.get(self.side(flow, end))

    def segments(self) -> Iterator[tuple[Flow, Seen]]:
        """Return all segments, as every place saw them, and of which flow."""
        return ((flow, seen) for flow in self.flows for seen in flow.all())

    def payloads(self) -> Iterator[tuple[Flow, Seen]]:
        """Return what was sent with data, and on which flow."""
        for flow in self.flows:
            for end in (flow.opener, flow.other):
                yield from ((flow, seen) for seen in flow.sent_by(end) if seen.segment.payload_bytes)


@dataclass
class Sorted:
    """All that captures have: connections, and TCP connections that are none of MPTCP or have no beginning."""

    connections: list[Connection] = field(default_factory=list)
    plain: list[Flow] = field(default_factory=list)
    headless: list[Flow] = field(default_factory=list)


def asked_token(flow: Flow) -> int | None:
    """Return the token in the MP_JOIN of a SYN, wherever that was seen with it."""
    joins = (options.join(seen.segment) for seen in flow.all() if seen.opens)
    return next((join.token for join in joins if join is not None), None)


def sort(flows: Sequence[Flow]) -> Sorted:
    """Return the connections of flows, in the order of opening."""
    found = Sorted()
    by_token: dict[int, Connection] = {}
    for flow in flows:
        if flow.headless:
            found.headless.append(flow)
        elif (token := asked_token(flow)) is not None:
            connection = by_token.get(token)
            if connection is None:
                connection = by_token[token] = Connection(None)
                found.connections.append(connection)
            connection.joins.append(flow)
        elif any(options.has(seen.segment, capture.MP_CAPABLE) for seen in flow.all()):
            connection = _opened(flow)
            found.connections.append(connection)
            by_token |= {options.token(key, connection.version): connection for key in connection.keys.values()}
        else:
            found.plain.append(flow)
    for flow in found.plain:
        if (owner := _looks_joined(found.connections, flow)) is not None:
            owner.stripped.append(flow)
    found.plain = [flow for flow in found.plain if not any(flow in one.stripped for one in found.connections)]
    return found


def _looks_joined(connections: Sequence[Connection], flow: Flow) -> Connection | None:
    """Return the connection of which a TCP connection looks like a join that lost its MP_JOIN; None of none, or many.

    Who opened it reset it as soon as it was answered, and had an MPTCP connection to the same port meanwhile.
    """
    said = [one for one in flow.sent_by(flow.opener) if not one.opens]
    if not said or not said[0].resets or not any(one.answers for one in flow.all()):
        return None
    firsts = [(one, one.first) for one in connections if one.first is not None]
    owners = [
        one
        for one, first in firsts
        if first.other.port == flow.other.port and first.began_ns <= flow.began_ns <= first.ended_ns
    ]
    return owners[0] if len(owners) == 1 else None


def _opened(flow: Flow) -> Connection:
    """Return the connection that an initial subflow began, with the keys that the captures show."""
    connection = Connection(flow)
    for end, other in ((flow.opener, flow.other), (flow.other, flow.opener)):
        for seen in (*flow.sent_by(end), *flow.arrived_from(end)):
            capable = options.capable(seen.segment)
            if capable is None:
                continue
            if not (seen.opens and connection.keys):  # what was agreed upon, not what was asked for
                connection.version = capable.version
            for owner, key in zip((end, other), capable.keys, strict=False):
                connection.keys.setdefault(CLIENT if owner == flow.opener else SERVER, key)
    return connection
