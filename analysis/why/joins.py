"""Why a subflow that somebody asked for did not come up, or went down (RFC 8684 sections 3.2 and 3.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from analysis import capture
from analysis import mptcp_options as options
from analysis.capture import Address
from analysis.why.connections import Connection
from analysis.why.findings import Finding
from analysis.why.flows import Flow, Seen

_REPEATED_NS: Final = 1_000_000_000
"""A SYN is sent again after a second (RFC 6298 section 2.1)."""
_PATIENCE_NS: Final = 200_000_000
_PATIENCE_ROUND_TRIPS: Final = 5
"""Chosen: so long, and so many round trips of the first subflow, an answer takes on another path at the most."""


def is_up(flow: Flow) -> bool:
    """Return whether both ends went on with what was asked for."""
    for seen in flow.all():
        if seen.goes_on and (seen.segment.payload_bytes or options.has(seen.segment, capture.DSS)):
            return True
    # The opener's third ACK is answered (section 3.2) where the join is good.
    return any(seen.goes_on for seen in flow.arrived_from(flow.other))


def failed(connection: Connection, flow: Flow) -> Finding | None:
    """Return why a join came to nothing; None when it did not."""
    if is_up(flow):
        return None
    for rule in _RULES:
        if (found := rule(connection, flow)) is not None:
            return found
    return _finding(flow, "unknown", "it stopped without a sign of why", [*flow.views[0].seen[-1:]])


def without_option(flow: Flow) -> Finding:
    """Return the finding of what looks like a join that lost its MP_JOIN before it came where it was seen."""
    syn = next(one for one in flow.all() if one.opens)
    reset = next(one for one in flow.all() if one.resets)
    why = (
        "its SYN came without MP_JOIN, and who asked reset it when it was answered so: something on the way removes it"
    )
    shown = [f"{syn}: SYN without MPTCP", f"{reset}: RST"]
    return _finding(flow, "stripped", why, shown, f"a capture at {flow.opener.ip_text}")


def _finding(flow: Flow, cause: str, why: str, shown: Sequence[Seen | str] = (), tell: str = "") -> Finding:
    return Finding(f"no subflow {flow}", cause, why, tuple(map(str, shown)), tell)


def _first(seen: Iterable[Seen]) -> Seen | None:
    return next(iter(seen), None)


def _asked(flow: Flow) -> list[Seen]:
    return [one for one in flow.sent_by(flow.opener) if one.opens]


def _reached(flow: Flow) -> list[Seen]:
    return [one for one in flow.arrived_from(flow.opener) if one.opens]


def _with_join(seen: Iterable[Seen]) -> Seen | None:
    return _first(one for one in seen if options.has(one.segment, capture.MP_JOIN))


# --- the rules, the first that speaks counts; in the order in which a handshake goes on


def _stripped_there(connection: Connection, flow: Flow) -> Finding | None:
    """The SYN left with MP_JOIN and arrived without."""
    left, reached = _with_join(_asked(flow)), _reached(flow)
    if left is None or not flow.both_ends or not reached or _with_join(reached):
        return None
    shown = [f"{left}: SYN with MP_JOIN", f"{reached[0]}: the same without"]
    return _finding(flow, "stripped", "something on the way removed MP_JOIN from its SYN", shown)


def _unanswered(connection: Connection, flow: Flow) -> Finding | None:
    """Nothing came back, or not before it was asked again: by then the connection may be over, and unknown there."""
    asked = _asked(flow)
    if not asked:
        return None
    until_ns = asked[1].time_ns if len(asked) > 1 else asked[0].time_ns + _REPEATED_NS
    if (end := connection.end_of_data) is not None and end.time_ns - asked[0].time_ns >= _patience_ns(connection):
        until_ns = min(until_ns, end.time_ns)
    back = [one for one in flow.arrived_from(flow.other) if one.answers or one.resets]
    sent = [one for one in flow.sent_by(flow.other) if one.answers]
    if sent or any(one.answers or one.time_ns < until_ns for one in back):
        return None
    shown = [f"{asked[0]}: SYN with MP_JOIN"]
    count = f"{len(asked)} SYNs" if len(asked) > 1 else "its SYN"
    if flow.both_ends and (reached := _reached(flow)):
        shown.append(f"{reached[0]}: it arrived")
        why = f"{count} with MP_JOIN reached {flow.other.ip_text} and had no answer there"
        route = f"ip route get {flow.opener.ip_text} from {flow.other.ip_text}"
        tell = f"whether a filter of that host drops it, and by which interface it answers ({route})"
        return _finding(flow, "unanswered", why, shown, tell)
    if not flow.both_ends and connection.first is not None and connection.first.both_ends:
        why = f"{count} with MP_JOIN left and are in no capture of the other side: dropped on the way"
        return _finding(
            flow, "dropped", why, shown, f"whether the captures have all interfaces of {flow.other.ip_text}"
        )
    why = f"{count} with MP_JOIN had no answer: dropped on the way there or back, or by {flow.other.ip_text}"
    return _finding(flow, "dropped", why, shown, f"a capture at {flow.other.ip_text}")


def _patience_ns(connection: Connection) -> int:
    round_trip_ns = connection.first.views[0].answer_ns if connection.first else None
    return max(_PATIENCE_NS, _PATIENCE_ROUND_TRIPS * (round_trip_ns or 0))


def _refused_at_once(connection: Connection, flow: Flow) -> Finding | None:
    """A RST in place of a SYN/ACK."""
    if any(one.answers for one in flow.all()):
        return None
    return _reset(connection, flow, flow.other, "its SYN with MP_JOIN")


def _answer_lost(connection: Connection, flow: Flow) -> Finding | None:
    """The SYN/ACK left and did not arrive."""
    left = _first(one for one in flow.sent_by(flow.other) if one.answers)
    if left is None or not flow.both_ends or any(one.answers for one in flow.arrived_from(flow.other)):
        return None
    why = f"the SYN/ACK of {flow.other.ip_text} was dropped on the way back"
    return _finding(flow, "dropped", why, [f"{left}: SYN/ACK, which the other capture lacks"])


def _answered_without(connection: Connection, flow: Flow) -> Finding | None:
    """The SYN/ACK came without MP_JOIN."""
    came = [one for one in flow.arrived_from(flow.other) if one.answers]
    if not came or _with_join(came):
        return None
    shown = [f"{came[0]}: SYN/ACK without MP_JOIN"]
    if left := _with_join(one for one in flow.sent_by(flow.other) if one.answers):
        why = "something on the way removed MP_JOIN from the SYN/ACK"
        return _finding(flow, "stripped", why, [f"{left}: SYN/ACK with MP_JOIN", *shown])
    if flow.both_ends:
        why = f"MP_JOIN reached {flow.other} and was answered without: what listens there does not speak MPTCP"
        return _finding(flow, "no mptcp", why, shown)
    why = "it was answered as a SYN is that arrives without MP_JOIN: something on the way removes the option"
    return _finding(flow, "stripped", why, shown, f"a capture at {flow.other.ip_text}")


def _wrong_answer(connection: Connection, flow: Flow) -> Finding | None:
    """The HMAC in the SYN/ACK is wrong."""
    answer = _with_join(one for one in flow.arrived_from(flow.other) if one.answers)
    if answer is None or _is_signed(connection, flow, flow.other, answer) is not False:
        return None
    why = f"the HMAC of {flow.other} in the SYN/ACK is wrong: another host answered, or somebody changed the nonces"
    return _finding(flow, "hmac", why, [f"{answer}: SYN/ACK with MP_JOIN"])


def _third_ack(connection: Connection, flow: Flow) -> Finding | None:
    """What the opener's third ACK says, and whether it arrived so."""
    left = _with_join(one for one in flow.sent_by(flow.opener) if one.goes_on)
    if left is None:
        return _reset(connection, flow, flow.opener, "the SYN/ACK, which was right")
    arrived = [one for one in flow.arrived_from(flow.opener) if one.goes_on]
    shown = [f"{left}: third ACK with MP_JOIN"]
    if not arrived:
        return _finding(flow, "dropped", "the third ACK was dropped on the way", shown)
    came = _with_join(arrived)
    if came is None:
        why = "something on the way removed MP_JOIN from the third ACK"
        return _finding(flow, "stripped", why, [*shown, f"{arrived[0]}: the same without"])
    if _is_signed(connection, flow, flow.opener, came) is False:
        why = f"the HMAC of {flow.opener} in the third ACK is wrong: somebody changed the nonces, or it has other keys"
        return _finding(flow, "hmac", why, [f"{came}: third ACK with MP_JOIN"])
    return _reset(connection, flow, flow.other, "the third ACK")


def _no_third_ack(connection: Connection, flow: Flow) -> Finding | None:
    """At the side that was asked: nothing followed the SYN/ACK."""
    answers = [one for one in flow.sent_by(flow.other) if one.answers]
    if not answers or any(not one.opens for one in flow.arrived_from(flow.opener)):
        return None
    count = f"{len(answers)} SYN/ACKs" if len(answers) > 1 else "its SYN/ACK"
    why = f"{count} had no answer: dropped on the way back, or by {flow.opener.ip_text}"
    return _finding(flow, "dropped", why, [f"{answers[0]}: SYN/ACK"], f"a capture at {flow.opener.ip_text}")


def _third_ack_without(connection: Connection, flow: Flow) -> Finding | None:
    """At the side that was asked: what came after the SYN/ACK had no MP_JOIN."""
    came = _first(one for one in flow.arrived_from(flow.opener) if one.goes_on)
    if came is None or _with_join([came]):
        return None
    why = "the third ACK came without MP_JOIN: something on the way removed it, or from the SYN/ACK before"
    return _finding(
        flow, "stripped", why, [f"{came}: third ACK without MP_JOIN"], f"a capture at {flow.opener.ip_text}"
    )


_RULES = (
    _stripped_there, _unanswered, _refused_at_once, _answer_lost, _answered_without, _wrong_answer, _third_ack,
    _no_third_ack, _third_ack_without,
)  # fmt: skip


# --- resets


def _reset(connection: Connection, flow: Flow, by: Address, what: str) -> Finding | None:
    """Return the finding of a RST that comes from one end, in answer to `what`."""
    came = _first(one for one in flow.arrived_from(by) if one.resets)
    if came is None:
        return None
    shown = [f"{came}: RST"]
    end = connection.end_of_data
    if end is not None and end.time_ns <= came.time_ns:
        why = "the connection was over before it came up"
        return Finding(f"no subflow {flow}", "too short", why, (f"{end}: the end of its data", *shown), failure=False)
    if is_foreign(connection, flow, came):
        return _finding(flow, "reset on the way", f"a RST in the name of {by} that its host did not send", shown)
    said = options.reset_reason(came.segment)
    if said:
        return _finding(flow, "refused", f"{by.ip_text} refused {what}: {said} (MP_TCPRST)", shown)
    why = f"{by.ip_text} refused {what} and did not say why: nobody listens there, or does not know the token any more"
    return _finding(
        flow, "refused", why, shown, f"what the host of {by.ip_text} counts: nstat -as | grep MPTcpExtMPJoin"
    )


def went_down(connection: Connection, flow: Flow) -> Finding | None:
    """Return why a subflow that was up ended by a RST while the connection went on with data; None when it did not."""
    if flow is not connection.first and not is_up(flow):
        return None
    resets = [one for end in (flow.opener, flow.other) for one in flow.arrived_from(end) if one.resets]
    came = min(resets, key=lambda one: one.time_ns, default=None)
    if came is None or any(options.has(one.segment, options.MP_FASTCLOSE) for one in flow.all()):
        return None
    if not any(other is not flow and seen.time_ns > came.time_ns for other, seen in connection.payloads()):
        return None
    about, shown = f"subflow {flow} ended early", (f"{came}: RST, and data went on elsewhere",)
    if is_foreign(connection, flow, came):
        why = f"a RST in the name of {came.segment.source} that its host did not send"
        return Finding(about, "reset on the way", why, shown)
    said = options.reset_reason(came.segment)
    return Finding(about, "reset", f"{came.segment.source} reset it{f': {said} (MP_TCPRST)' if said else ''}", shown)


def is_foreign(connection: Connection, flow: Flow, reset: Seen) -> bool:
    """Return whether somebody on the way sent a RST: its sender's host did not, or it came over other hops."""
    source = reset.segment.source
    if flow.both_ends:
        return not flow.was_sent(reset)
    known = {one.hops for one in flow.all() if one.segment.source.ip == source.ip and not one.resets}
    return bool(known) and reset.hops not in known


def _is_signed(connection: Connection, flow: Flow, by: Address, seen: Seen) -> bool | None:
    """Return whether the HMAC in an MP_JOIN is that of its sender; None where a key or a nonce is not known."""
    peer = flow.other if by == flow.opener else flow.opener
    keys = connection.key(flow, by), connection.key(flow, peer)
    nonces = _nonce(flow.arrived_from(by)), _nonce(flow.sent_by(peer))  # as the one has them who checks
    join = options.join(seen.segment)
    if join is None or keys[0] is None or keys[1] is None or nonces[0] is None or nonces[1] is None:
        return None
    expected = options.signed(keys[0], keys[1], nonces[0] + nonces[1], connection.version)
    return expected.startswith(join.hmac) if join.hmac else None


def _nonce(seen: Iterable[Seen]) -> bytes | None:
    """Return the nonce in the SYN or SYN/ACK among what one end sent."""
    joins = (options.join(one.segment) for one in seen if one.opens or one.answers)
    return next((join.nonce for join in joins if join is not None), None)
