"""MPTCP connections of captures, of the kernel's stack, ours or any other: RFC 8684, and version 0 (RFC 6824).

The packets are those of one place, in one file an interface if need be. The numbers of a connection begin where its
keys say; when a capture has no keys, being of an interface of joined subflows only, at the lowest that it shows.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
from typing_extensions import override

from analysis import capture, sequences
from analysis import mptcp_options as options
from analysis.capture import ACK, FIN, SYN, Address, Segment
from analysis.capture_file import Unread
from analysis.sequence_numbers import Mappings, Ranges, unwrap
from analysis.sequences import joins
from analysis.sequences.twins import Twins

_DATA_FIN = 0x10
"""Flag of a DSS (RFC 8684 section 3.3)."""
_OTHER = {"client": "server", "server": "client"}


@dataclass
class Subflow:
    """A TCP connection. `opener` sent the SYN; `roles` says which side of the MPTCP connection each end is."""

    opener: Address
    other: Address
    segments: list[Segment] = field(default_factory=list)
    isn: dict[Address, int] = field(default_factory=dict)
    window_shift: dict[Address, int] = field(default_factory=dict)
    roles: dict[Address, str] = field(default_factory=dict)
    keys: dict[Address, bytes] = field(default_factory=dict)
    joins: int | None = None
    """The token in the SYN's MP_JOIN."""
    version: int = 1
    answered: bool = False
    """Whether its SYN/ACK is in the capture, which says how windows are scaled."""

    def __str__(self) -> str:
        ends = sorted((self.opener, self.other), key=lambda end: self.roles[end])
        return " - ".join(map(str, ends))

    def end(self, role: str) -> Address:
        """Return the address that is the client's or the server's."""
        return next(end for end in (self.opener, self.other) if self.roles[end] == role)

    def assign(self, opener_role: str) -> None:
        """Say which side the opener is."""
        self.roles = {self.opener: opener_role, self.other: _OTHER[opener_role]}


@dataclass
class CapturedConnection(sequences.Connection):
    """A connection whose segments were captured."""

    members: list[Subflow] = field(default_factory=list)
    initial_dsn: dict[str, int] = field(default_factory=dict)
    """By sender, where its key is known."""

    def add(self, subflow: Subflow) -> None:
        """Take a subflow whose roles are known; a join that came to nothing is none, and said."""
        if subflow.joins is not None and (failure := joins.failure(subflow)) is not None:
            self.notes.append(f"no subflow, {subflow}: {failure}")
            return
        self.members.append(subflow)
        self.subflows.append(str(subflow))
        if not subflow.answered:
            known = subflow.other in subflow.isn
            lost = "its receive windows are not known" if known else f"what {subflow.other} sent on it is left out"
            self.notes.append(f"subflow {len(self.subflows) - 1}, {subflow}: its SYN/ACK is not in the capture: {lost}")

    @override
    def first_sent_s(self, sender: str) -> float:
        segments = (segment for one in self.members for segment in one.segments if one.roles[segment.source] == sender)
        return next((segment.time_ns / 1e9 for segment in segments), inf)

    @override
    def marks(self, sender: str) -> pd.DataFrame:
        return sequences.frame(list(_Tracer(self, sender).marks()))


def connections(paths: Sequence[Path]) -> list[CapturedConnection]:
    """Return the MPTCP connections in captures of one place, in the order of opening.

    Raises UnreadableFile for a file that is none, NoConnection when there is no MPTCP connection in any.
    """
    unread = Unread()
    streams = [sorted(capture.segments(path, unread), key=lambda segment: segment.time_ns) for path in paths]
    reader, twins = _Reader(), Twins()
    for segment in heapq.merge(*streams, key=lambda segment: segment.time_ns):
        reader.take(segment)
        twins.take(segment)
    found = reader.connections()
    notes = [*unread.notes(), *twins.notes()]
    if not found:
        counts = f"{reader.plain} TCP connections without MPTCP, {len(reader.headless)} whose beginning is not in it"
        what = "; ".join([f"no MPTCP connection; there are {counts}", *notes])
        raise sequences.NoConnection(f"{', '.join(map(str, paths))}: {what}")
    for connection in found:
        connection.notes += notes
    return found


class _Reader:
    """Sorts segments into subflows, and subflows into connections."""

    def __init__(self) -> None:
        self._current: dict[tuple[Address, Address], Subflow] = {}
        self._subflows: list[Subflow] = []
        self.plain = 0
        self.headless: set[frozenset[Address]] = set()

    def take(self, segment: Segment) -> None:
        """Give a segment to its subflow."""
        ends = (segment.source, segment.destination)
        subflow = self._current.get(ends)
        if segment.flags & SYN:
            subflow = self._opening(segment, subflow)
        if subflow is None:
            self.headless.add(frozenset(ends))
            return
        if segment.flags & SYN or len(subflow.keys) < 2:
            _learn(subflow, segment)
        subflow.segments.append(segment)

    def _opening(self, segment: Segment, known: Subflow | None) -> Subflow | None:
        """Return the subflow of a SYN, a new one for the first of its kind."""
        isn = None if known is None else known.isn.get(segment.source)
        if segment.flags & ACK or isn == segment.seq:
            return known
        made = Subflow(segment.source, segment.destination)
        self._current[segment.source, segment.destination] = made
        self._current[segment.destination, segment.source] = made
        self._subflows.append(made)
        return made

    def connections(self) -> list[CapturedConnection]:
        """Return the connections; one that fell back to TCP in its handshake is none."""
        found: list[CapturedConnection] = []
        by_token: dict[int, tuple[CapturedConnection, str]] = {}
        for subflow in self._subflows:
            if subflow.joins is None and subflow.other not in subflow.keys:
                self.plain += 1
                continue
            if subflow.joins is not None and subflow.joins not in by_token and joins.failure(subflow) is not None:
                continue  # of a connection that is not in the capture
            if subflow.joins is None or subflow.joins not in by_token:
                subflow.assign("client")
                connection = CapturedConnection(len(found) + 1, subflow.segments[0].time_ns / 1e9)
                found.append(connection)
                for side, token in _identify(connection, subflow).items():
                    by_token[token] = connection, side
            else:
                connection, side = by_token[subflow.joins]  # the side that was asked
                subflow.assign(_OTHER[side])
            connection.add(subflow)
        for connection in found:
            if self.headless:
                what = f"{len(self.headless)} TCP connections whose SYN is not in the capture are left out"
                connection.notes.append(f"{what}: some may be its subflows")
            for subflow in connection.members:
                for segment in subflow.segments:
                    connection.sent_bytes[subflow.roles[segment.source]] += segment.payload_bytes
        return found


def _learn(subflow: Subflow, segment: Segment) -> None:
    """Take from the handshake what later segments are read with."""
    opens = bool(segment.flags & SYN)
    if opens:
        subflow.isn.setdefault(segment.source, segment.seq)
        subflow.answered = subflow.answered or segment.source == subflow.other
    for kind, body in capture.options(segment.options):
        if kind == capture.OPTION_WINDOW_SCALE and opens and body:
            subflow.window_shift[segment.source] = min(body[0], 14)
        if kind != capture.OPTION_MPTCP or not body:
            continue
        if not opens and segment.source == subflow.opener and body[0] >> 4 in (capture.MP_CAPABLE, capture.MP_JOIN):
            # The third ACK: all that it can acknowledge is the SYN/ACK, be that in the capture or not.
            subflow.isn.setdefault(subflow.other, (segment.ack - 1) % (1 << 32))
        if body[0] >> 4 == capture.MP_CAPABLE and len(body) >= 10:
            # One key in SYN (version 0) and SYN/ACK, both in what follows, the sender's first (section 3.1).
            subflow.version = body[0] & 15
            subflow.keys[segment.source] = body[2:10]
            if len(body) >= 18:
                subflow.keys[segment.destination] = body[10:18]
        elif body[0] >> 4 == capture.MP_JOIN and opens and not segment.flags & ACK and len(body) >= 6:
            subflow.joins = int.from_bytes(body[2:6], "big")


def _identify(connection: CapturedConnection, subflow: Subflow) -> dict[str, int]:
    """Fill in tokens and initial data sequence numbers (section 3.1); return the tokens by side."""
    digest = sha256 if subflow.version else sha1
    for end, key in subflow.keys.items():
        hashed = digest(key).digest()
        connection.tokens[subflow.roles[end]] = int.from_bytes(hashed[:4], "big")
        connection.initial_dsn[subflow.roles[end]] = int.from_bytes(hashed[-8:], "big")
    if subflow.joins is not None:
        connection.tokens[subflow.roles[subflow.other]] = subflow.joins
    return connection.tokens


class _Sending:
    """What one subflow has sent so far."""

    def __init__(self) -> None:
        self.mappings = Mappings()
        self.ssns, self.dsns = Ranges(), Ranges()
        self.acked = 0


class _Tracer:
    """Turns the segments of a connection into marks."""

    def __init__(self, connection: CapturedConnection, sender: str) -> None:
        self._connection, self._sender = connection, sender
        self._sending = [_Sending() for _ in connection.members]
        self._initial_dsn = connection.initial_dsn.get(sender)
        self._highest_dsn = 0
        self._data_acked = self._edge = 0

    def marks(self) -> Iterator[tuple[Any, ...]]:
        """Return rows of the frame, in the order of time."""
        members = self._connection.members
        if self._initial_dsn is None:
            self._initial_dsn = self._lowest_dsn()
        numbered = ([(segment, number) for segment in one.segments] for number, one in enumerate(members))
        for segment, number in heapq.merge(*numbered, key=lambda item: item[0].time_ns):
            subflow = members[number]
            time_s = segment.time_ns / 1e9 - self._connection.began_s
            peer = subflow.end(_OTHER[self._sender])
            trace = self._received if segment.source == peer else self._sent
            for kind, ssn, dsn, length_bytes in trace(segment, subflow, self._sending[number]):
                yield time_s, number, kind, ssn, dsn, length_bytes

    def _sent(self, segment: Segment, subflow: Subflow, sending: _Sending) -> Iterator[tuple[Any, ...]]:
        isn = subflow.isn.get(segment.source)
        if isn is None:  # its SYN/ACK is not in the capture
            return
        opens = bool(segment.flags & SYN)
        ssn = unwrap(segment.seq + opens - isn, 32, sending.ssns.end)
        data_fin = self._map(segment, sending)
        if data_fin is not None:
            yield sequences.DATA_FIN, None, data_fin, None
        if not segment.payload_bytes:
            return
        kind = self._kind_by_ssn(ssn, segment.payload_bytes, sending)
        for place, dsn, length_bytes in sending.mappings.pieces(ssn, segment.payload_bytes):
            if dsn is None:
                yield kind, place, None, length_bytes
                continue
            for start, end, elsewhere in self._elsewhere(dsn, dsn + length_bytes, sending):
                shown = sequences.REINJECTED if elsewhere and kind != sequences.RETRANSMITTED else kind
                yield shown, place + start - dsn, start, end - start
            sending.dsns.add(dsn, dsn + length_bytes)
        sending.ssns.add(ssn, ssn + segment.payload_bytes)

    def _map(self, segment: Segment, sending: _Sending) -> int | None:
        """Take the mapping of a segment; return the relative dsn of a DATA_FIN."""
        for body in _mptcp_bodies(segment):
            if body[0] >> 4 == capture.MP_CAPABLE and segment.payload_bytes and len(body) >= 18:
                # With the first data it stands for their mapping (section 3.1); version 0 has no length.
                length_bytes = int.from_bytes(body[18:20], "big") or segment.payload_bytes
                sending.mappings.add(1, 1, length_bytes)
                self._highest_dsn = max(self._highest_dsn, length_bytes)
            elif body[0] >> 4 == capture.DSS and (mapping := options.mapping_of(body)) is not None:
                dsn, bits, ssn, length_bytes = mapping
                data_fin = bool(body[1] & _DATA_FIN)
                if not (segment.payload_bytes or data_fin or segment.flags & FIN):
                    continue  # it maps nothing
                relative = unwrap(dsn - self._initial(), bits, self._highest_dsn)
                mapped = length_bytes - data_fin if length_bytes else Mappings.ENDLESS
                if mapped > 0 and ssn:
                    sending.mappings.add(unwrap(ssn, 32, sending.ssns.end), relative, mapped)
                if length_bytes:
                    self._highest_dsn = max(self._highest_dsn, relative + length_bytes - 1)
                if data_fin and length_bytes:
                    return relative + length_bytes - 1
        return None

    @staticmethod
    def _kind_by_ssn(ssn: int, length_bytes: int, sending: _Sending) -> str:
        if sending.ssns.overlaps(ssn, ssn + length_bytes):
            return sequences.RETRANSMITTED
        return sequences.LATE if ssn < sending.ssns.end else sequences.DATA

    def _elsewhere(self, start: int, end: int, sending: _Sending) -> Iterator[tuple[int, int, bool]]:
        """Return the parts of a range of data, and whether another subflow has sent them."""
        parts = [(start, end, False)]
        for other in self._sending:
            if other is not sending:
                cut = ([part] if part[2] else other.dsns.parts(part[0], part[1]) for part in parts)
                parts = list(chain.from_iterable(cut))
        return iter(parts)

    def _received(self, segment: Segment, subflow: Subflow, sending: _Sending) -> Iterator[tuple[Any, ...]]:
        """Return what the peer of the sender says."""
        isn = subflow.isn.get(segment.destination)
        if isn is not None and segment.flags & ACK:
            acked = unwrap(segment.ack - isn, 32, sending.ssns.end)
            if acked > sending.acked:
                sending.acked = acked
                yield sequences.ACK, acked, None, None
        if segment.flags & SYN and subflow.joins is None:  # its window, never scaled, counts from the first byte
            yield from self._window(1 + segment.window)
        for number, bits in filter(None, map(options.data_ack_of, options.bodies(segment, capture.DSS))):
            acked = unwrap(number - self._initial(), bits, self._highest_dsn)
            if acked > self._data_acked:
                self._data_acked = acked
                yield sequences.DATA_ACK, None, acked, None
            if not subflow.answered:
                continue
            shift = subflow.window_shift if len(subflow.window_shift) == 2 else {}  # both must ask (RFC 7323)
            yield from self._window(acked + (segment.window << shift.get(segment.source, 0)))

    def _window(self, edge: int) -> Iterator[tuple[Any, ...]]:
        """Return a mark where the window of the connection opens (RFC 8684 section 3.3.4)."""
        if edge > self._edge:
            self._edge = edge
            yield sequences.WINDOW, None, edge, None

    def _initial(self) -> int:
        return self._initial_dsn or 0

    def _lowest_dsn(self) -> int:
        """Return what comes before the lowest number that is seen."""
        lowest: int | None = None
        for subflow in self._connection.members:
            for segment in subflow.segments:
                if subflow.roles[segment.source] == self._sender:
                    for dsn, bits, ssn, _ in filter(
                        None, map(options.mapping_of, options.bodies(segment, capture.DSS))
                    ):
                        if ssn:
                            lowest = dsn if lowest is None else min(lowest, unwrap(dsn, bits, lowest))
        return 0 if lowest is None else lowest - 1


def _mptcp_bodies(segment: Segment) -> Iterable[bytes]:
    return (body for kind, body in capture.options(segment.options) if kind == capture.OPTION_MPTCP and len(body) > 1)
