"""Why a connection is not of MPTCP, or is no longer: at which packet, and through whom (RFC 8684 sections 3.1, 3.7)."""

from __future__ import annotations

from collections.abc import Iterable

from analysis import capture
from analysis import mptcp_options as options
from analysis.capture import Address
from analysis.why.connections import Connection
from analysis.why.findings import Finding
from analysis.why.flows import Flow, Seen

_ABOUT = "the connection is TCP"
_LEAST_LEFT_OUT = 2
"""So many segments with data and without MPTCP in a row are no chance: one may lie within an earlier mapping."""


def fell_back(connection: Connection) -> Finding | None:
    """Return why a connection that asked for MPTCP is, or became, one of TCP; None when it did not."""
    if connection.first is None:
        return None
    for rule in _RULES:
        if (found := rule(connection, connection.first)) is not None:
            return found
    return None


def damaged(flow: Flow) -> Finding | None:
    """Return the finding of a checksum that failed without ending MPTCP: the subflow was reset, others went on."""
    told = _failed(flow)
    if told is None:
        return None
    why = f"data were changed on the way: their checksum failed at {told.segment.source}, which reset the subflow"
    return Finding(f"subflow {flow} ended early", "checksum failed", why, (f"{told}: MP_FAIL",))


def plain(flow: Flow) -> Finding:
    """Return why a connection of which no packet has MP_CAPABLE is TCP."""
    syn = next(one for one in flow.all() if one.opens)
    why = (
        "its SYN has no MP_CAPABLE: the program asked for TCP (mptcpize run makes it ask for MPTCP), "
        "net.mptcp.enabled is 0, or something before this place removes the option"
    )
    return Finding(
        f"{flow} is TCP", "not asked", why, (f"{syn}: SYN without MP_CAPABLE",), f"a capture at {flow.opener.ip_text}"
    )


def _first(seen: Iterable[Seen]) -> Seen | None:
    return next(iter(seen), None)


def _capable(seen: Iterable[Seen]) -> Seen | None:
    return _first(one for one in seen if options.has(one.segment, capture.MP_CAPABLE))


# --- the rules, in the order in which a connection goes on


def _syn(connection: Connection, flow: Flow) -> Finding | None:
    """The SYN lost its MP_CAPABLE, or came through only without."""
    asked = [one for one in flow.sent_by(flow.opener) if one.opens]
    reached = [one for one in flow.arrived_from(flow.opener) if one.opens]
    left, without = _capable(asked), _first(one for one in asked if not options.has(one.segment, capture.MP_CAPABLE))
    if left is None:
        return None
    answer = _first(one for one in flow.all() if one.answers)
    if without is not None and answer is not None and not options.has(answer.segment, capture.MP_CAPABLE):
        count = sum(options.has(one.segment, capture.MP_CAPABLE) for one in asked)
        why = f"{count} SYNs with MP_CAPABLE had no answer and one without it had: something on the way drops such SYNs"
        return Finding(
            _ABOUT, "dropped", why, (f"{left}: SYN with MP_CAPABLE", f"{without}: SYN without", f"{answer}: SYN/ACK")
        )
    if flow.both_ends and reached and _capable(reached) is None:
        shown = f"{left}: SYN with MP_CAPABLE", f"{reached[0]}: the same without"
        return Finding(_ABOUT, "stripped", "something on the way removed MP_CAPABLE from the SYN", shown)
    return None


def _answer(connection: Connection, flow: Flow) -> Finding | None:
    """The SYN/ACK is without MP_CAPABLE, or there is none."""
    left = [one for one in flow.sent_by(flow.other) if one.answers]
    came = [one for one in flow.arrived_from(flow.other) if one.answers]
    if not came:
        return _no_answer(flow, left)
    if _capable(came) is not None:
        return None
    shown: tuple[str, ...] = (f"{came[0]}: SYN/ACK without MP_CAPABLE",)
    if (with_it := _capable(left)) is not None:
        shown = f"{with_it}: SYN/ACK with MP_CAPABLE", *shown
        return Finding(_ABOUT, "stripped", "something on the way removed MP_CAPABLE from the SYN/ACK", shown)
    if flow.both_ends:
        why = f"MP_CAPABLE reached {flow.other}, which answered without: it does not speak MPTCP there"
        return Finding(_ABOUT, "no mptcp", why, shown)
    why = f"{flow.other} does not speak MPTCP, or something on the way removed MP_CAPABLE, there or back"
    return Finding(_ABOUT, "no mptcp", why, shown, f"a capture at {flow.other.ip_text}")


def _no_answer(flow: Flow, left: list[Seen]) -> Finding | None:
    asked = [one for one in flow.sent_by(flow.opener) if one.opens]
    reset = _first(one for one in flow.arrived_from(flow.other) if one.resets)
    about = f"no connection {flow}"
    if reset is not None:
        return Finding(about, "refused", f"{flow.other} refused it with a RST", (f"{reset}: RST",))
    if not asked:
        return None
    if left:
        return Finding(about, "dropped", "the SYN/ACK was dropped on the way", (f"{left[0]}: SYN/ACK",))
    why = f"{len(asked)} SYNs had no answer: dropped on the way there or back, or by {flow.other.ip_text}"
    return Finding(about, "dropped", why, (f"{asked[0]}: SYN",), f"a capture at {flow.other.ip_text}")


def _checksum(connection: Connection, flow: Flow) -> Finding | None:
    """A checksum failed, and the connection went on without MPTCP."""
    told = _failed(flow)
    endless = _first(one for one in flow.all() if options.maps_without_end(one.segment))
    if endless is None:
        return None
    shown = (f"{endless}: infinite mapping",)
    if told is None:
        why = f"{endless.segment.source} went on as TCP, with an infinite mapping"
        return Finding(_ABOUT, "mptcp stopped", why, shown)
    why = f"data were changed on the way: their checksum failed at {told.segment.source}, and both went on as TCP"
    return Finding(_ABOUT, "checksum failed", why, (f"{told}: MP_FAIL", *shown))


def _stopped(connection: Connection, flow: Flow) -> Finding | None:
    """What follows the SYNs has no MPTCP options, from the first packet of one end on or from a later one."""
    ends = (flow.opener, flow.other)
    found = [one for end in ends if (one := _silent_from(flow, end)) is not None and not _speaks_last(flow, end)]
    if not found:
        return None
    came = min(found, key=lambda one: one.time_ns)
    source = came.segment.source
    left = _first(one for one in flow.sent_by(source) if one.goes_on and options.speaks(one.segment))
    shown: tuple[str, ...] = (f"{came}: without MPTCP",)
    if flow.both_ends and left is not None and _went_without(flow, source) is None:
        shown = f"{left}: {source} sends MPTCP options", *shown
        return Finding(_ABOUT, "stripped", f"something on the way removes MPTCP options of {source}", shown)
    peer = flow.other if source == flow.opener else flow.opener
    why = (
        f"what came from {source} had no MPTCP options any more: something on the way removes them, from its segments "
        f"or from those of {peer}"
    )
    return Finding(_ABOUT, "stripped", why, shown, "captures of both sides")


def _silent_from(flow: Flow, end: Address) -> Seen | None:
    """Return the packet from which on all that arrives from an end, data among it, is without MPTCP."""
    since, count = None, 0
    first = True
    for one in flow.arrived_from(end):
        if not one.goes_on:
            continue
        if options.speaks(one.segment):
            since, count, first = None, 0, False
        elif one.segment.payload_bytes or first:
            since, count = since or one, count + 1
            if first:
                count = _LEAST_LEFT_OUT
    return since if count >= _LEAST_LEFT_OUT else None


def _speaks_last(flow: Flow, end: Address) -> bool:
    """Return whether the peer of an end speaks MPTCP to the last: segments without may lie in one long mapping."""
    peer = flow.other if end == flow.opener else flow.opener
    said = [one for one in flow.arrived_from(peer) if one.goes_on]
    return bool(said) and options.speaks(said[-1].segment)


def _went_without(flow: Flow, end: Address) -> Seen | None:
    """Return the packet from which on an end itself sent data without MPTCP."""
    since, count = None, 0
    for one in flow.sent_by(end):
        if one.goes_on and options.speaks(one.segment):
            since, count = None, 0
        elif one.segment.payload_bytes:
            since, count = since or one, count + 1
    return since if count >= _LEAST_LEFT_OUT else None


def _failed(flow: Flow) -> Seen | None:
    return _first(one for one in flow.all() if options.has(one.segment, options.MP_FAIL))


_RULES = (_syn, _answer, _checksum, _stopped)
