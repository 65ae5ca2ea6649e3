"""Addresses that were announced and not joined, subflows that nobody asked for, and those that carry nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from analysis import capture
from analysis import mptcp_options as options
from analysis.sequence_numbers import Ranges
from analysis.why import joins
from analysis.why.connections import CLIENT, SERVER, Connection
from analysis.why.findings import Finding
from analysis.why.flows import Flow, Seen

_OTHER: Final = {CLIENT: SERVER, SERVER: CLIENT}
_FLAG: Final = (
    "; at a client an endpoint is to have the flag 'subflow', for a server seldom joins what 'signal' announces"
)
_LIMITS: Final = {
    CLIENT: "the limits of the client (ip mptcp limits) and its routes",
    SERVER: "the limits of the server (ip mptcp limits), and the flags of the client's endpoints (ip mptcp endpoint)",
}
_SOON: Final = 3
"""Round trips: one opens the connection, in the second the client learns of addresses, the third opens a subflow."""
_ALL_INTERFACES: Final = "captures of all interfaces"


class _Announcement(NamedTuple):
    side: str
    address: options.Announced
    seen: Seen
    arrived: Seen | None


def elsewhere(connection: Connection) -> Finding | None:
    """Return the finding that a subflow is in no capture: data are missing, and their receiver has got them."""
    for side in (CLIENT, SERVER):
        key = connection.keys.get(side)
        if key is None:
            continue
        seen, acked, first = Ranges(), 1, options.first_dsn(key, connection.version)
        for flow, one in connection.segments():
            if connection.side(flow, one.segment.source) == side:
                for start, length in options.mapped(one.segment, first, seen.end):
                    seen.add(start, start + length)
            else:
                acked = max([acked, *options.data_acked(one.segment, first, acked)])
        missing = acked - 1 - sum(min(end, acked) - start for start, end, there in seen.parts(1, acked) if there)
        if missing > 1:  # the end of data takes a number
            why = f"{missing} bytes of the {side} arrived and are in none of the captures: another subflow carried them"
            return Finding("a subflow is not in the captures", "unknown", why, (), _ALL_INTERFACES, failure=False)
    return None


def unjoined(connection: Connection) -> Iterator[Finding]:
    """Return why addresses that one side announced were joined by nobody."""
    for one in _announcements(connection):
        flows = [*connection.flows, *connection.stripped]
        ends = [end for flow in flows for end in (flow.opener, flow.other)]
        if any(end.ip == one.address.ip for end in ends):
            continue
        yield _unjoined(connection, one)


def _unjoined(connection: Connection, one: _Announcement) -> Finding:
    ip, peer = capture.Address(one.address.ip, 0).ip_text, _OTHER[one.side]
    about = f"no subflow with {ip}, which the {one.side} announced"
    shown: tuple[str, ...] = (f"{one.seen}: ADD_ADDR",)
    if one.arrived is None:
        why = f"the announcement did not reach the {peer}: lost, or removed on the way"
        return Finding(about, "announcement lost", why, shown)
    if _is_signed(connection, one) is False:
        why = f"its HMAC is wrong, so that the {peer} does not believe it: somebody on the way changed the address"
        return Finding(about, "hmac", why, (f"{one.arrived}: ADD_ADDR",))
    echo = _echo(connection, one)
    shown += (f"{echo}: its echo",) if echo else ()
    if not any(len(end.ip) == len(one.address.ip) for flow in connection.flows for end in (flow.opener, flow.other)):
        why = (
            f"the {peer} did not ask to join it, and all that the connection has is of another IP version: Linux joins "
            "IPv6 from sockets of IPv6 alone, and with IPV6_V6ONLY no IPv4"
        )
        return Finding(about, "other ip version", why, shown, _LIMITS[peer], failure=not connection.joins)
    known = "knew it and did not ask to join" if echo else "did not echo it"
    why = (
        f"the {peer} {known}: its limit of subflows or of addresses is reached, it has no address or route that "
        f"reaches {ip}, or its path manager does not want it{_FLAG if one.side == CLIENT else ''}"
    )
    return Finding(about, "announced, not joined", why, shown, _LIMITS[peer])


def _announcements(connection: Connection) -> Iterator[_Announcement]:
    """Return each address that was announced, once a side, with the first packet that did."""
    told: set[tuple[str, bytes, int]] = set()
    for flow in connection.flows:
        for end in (flow.opener, flow.other):
            side = connection.side(flow, end)
            arrived = flow.arrived_from(end)
            for seen in flow.sent_by(end):
                for address in options.announced(seen.segment, connection.version):
                    if address.echo or (side, address.ip, address.port) in told:
                        continue
                    told.add((side, address.ip, address.port))
                    yield _Announcement(side, address, seen, _same(connection, address, arrived))


def _same(connection: Connection, address: options.Announced, arrived: list[Seen]) -> Seen | None:
    """Return the first packet with which an announcement arrived, whatever became of its address."""
    for seen in arrived:
        for one in options.announced(seen.segment, connection.version):
            if not one.echo and one.address_id == address.address_id:
                return seen
    return None


def _is_signed(connection: Connection, one: _Announcement) -> bool | None:
    own, other = connection.keys.get(one.side), connection.keys.get(_OTHER[one.side])
    if one.arrived is None or own is None or other is None:
        return None
    for got in options.announced(one.arrived.segment, connection.version):
        if got.hmac and got.address_id == one.address.address_id:
            message = bytes([got.address_id]) + got.ip + got.port.to_bytes(2, "big")
            return options.signed(own, other, message, connection.version).endswith(got.hmac)
    return None


def _echo(connection: Connection, one: _Announcement) -> Seen | None:
    """Return the packet by which the peer says that it knows an address."""
    for flow in connection.flows:
        for end in (flow.opener, flow.other):
            for seen in flow.arrived_from(end):
                for address in options.announced(seen.segment, connection.version):
                    if address.echo and address.ip == one.address.ip and connection.side(flow, end) != one.side:
                        return seen
    return None


# --- nobody asked


def unasked(connection: Connection) -> Iterator[Finding]:
    """Return why there is one subflow alone, where nobody announced another address or asked to join."""
    first = connection.first
    if first is None or connection.joins or next(_announcements(connection), None) is not None:
        return
    about, both = "no second subflow", f"{first.opener.ip_text} and {first.other.ip_text}"
    if (end := _ended_soon(connection, first)) is not None:
        why = "the connection was over before there was time to ask for one"
        yield Finding(about, "too short", why, (f"{end}: the end of its data",), failure=False)
        return
    why = (
        f"nobody announced an address beside {both}, or asked to join one: the hosts have no other (or its interface "
        "is down), no endpoint for it, a limit of 0, or path managers in user space that had no orders"
    )
    answer = next((one for one in first.arrived_from(first.other) if one.answers), None)
    capable = options.capable(answer.segment) if answer else None
    forbids = capable is not None and not capable.joinable
    shown = (f"{answer}: the server's flag C forbids to join {first.other.ip_text}",) if forbids else ()
    tell = "on both hosts: ip -br address; ip mptcp endpoint; ip mptcp limits"
    yield Finding(about, "never asked", why, shown, tell)


def _ended_soon(connection: Connection, first: Flow) -> Seen | None:
    """Return the end of a connection's data when it came within a few round trips of its beginning."""
    seen, end = first.views[0].seen, connection.end_of_data
    gone_on = next((one for one in seen if one.goes_on), None)
    if end is None or gone_on is None:
        return None
    round_trip_ns = max(gone_on.time_ns - seen[0].time_ns, first.views[0].answer_ns or 0)
    return end if end.time_ns - seen[0].time_ns <= _SOON * round_trip_ns else None


# --- subflows that carry nothing


def idle(connection: Connection) -> Iterator[Finding]:
    """Return why subflows that are up have carried no data, while others did."""
    carried = [(flow, seen) for flow, seen in connection.payloads()]
    carrying = {id(flow) for flow, _ in carried}
    if not carrying:
        return
    last = max((seen for _, seen in carried), key=lambda seen: seen.time_ns)
    for flow in connection.flows:
        if id(flow) in carrying or (flow is not connection.first and not joins.is_up(flow)):
            continue
        about = f"nothing was sent on subflow {flow}"
        if (backup := _backup(flow)) is not None:
            why = "it is a backup, for when there is no other"
            yield Finding(about, "backup", why, (f"{backup}: flag B",), failure=False)
        elif (up := next((one for one in flow.all() if one.goes_on), None)) is not None and last.time_ns <= up.time_ns:
            why = "the data had all been sent when it came up"
            yield Finding(about, "too short", why, (f"{last}: the last data", f"{up}: it is up"), failure=False)
        else:
            why = (
                "the captures do not say why: few data were left, the scheduler preferred others, or a window was full"
            )
            tell = "the sender's own account: ss -tiM, or the collector 'events' of our stack"
            yield Finding(about, "not used", why, (), tell, failure=False)


def _backup(flow: Flow) -> Seen | None:
    """Return the last packet that said whether the subflow is a backup, if it said yes."""
    told = None
    for one in flow.all():
        join, priority = options.join(one.segment), options.priority(one.segment)
        if one.segment.flags & capture.SYN and join is not None and join.backup:
            told = one
        elif priority is not None:
            told = one if priority else None
    return told
