"""Addresses of ours that come and go while a connection lives (RFC 8684 section 3.4.2)."""

from collections.abc import Collection
from functools import partial
from typing import Final

from mptcp_stack.mptcp.addresses.owner import AddressesOwner
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.tcp.states import MAY_SEND

NOBODY: Final[frozenset[bytes]] = frozenset()
"""Of all connections of which no address has gone."""

_PATIENCE: Final = 3
"""Timeouts in a row after which nothing on a path that was withdrawn is taken for lost by chance any more."""


def take_leave(connection: AddressesOwner, now: int) -> None:
    """Withdraw the addresses that have gone since the last output, once a subflow is there that can say so.

    Until then their subflows stay: the address may return before there is another one.
    """
    departed = connection.departed
    if any(subflow.usable and subflow.local.ip not in departed for subflow in connection.subflows):
        connection.departed = NOBODY
        withdraw(connection, departed, now)


def withdraw(connection: AddressesOwner, ips: Collection[bytes], now: int) -> None:
    """Take addresses back with one REMOVE_ADDR, and close the subflows from them when that has had time to arrive.

    Linux closes them itself, and gives its budget of accepted addresses back, but only for those that are still there
    when it comes to REMOVE_ADDR. Until then nothing new is sent on them. After that they are closed by FIN, or by a
    reset where the address has gone, so that no FIN would be acknowledged; what is under way there goes out on others.
    """
    subflows = [subflow for subflow in connection.subflows if subflow.local.ip in ips]
    announced = {address_id for address_id, address in connection.announcements.sent.items() if address.ip in ips}
    connection.announcements.withdraw(sorted(announced | {subflow.local_id for subflow in subflows}))
    staying = [one for one in connection.subflows if one.usable and one not in subflows]
    grace_ns = max((one.endpoint.sender.rtt.rto_ns for one in staying), default=0)
    for subflow in subflows:
        connection.count("MPTcpExtRmSubflow")
        if not (staying and subflow.usable) or subflow.failing:
            connection.close_subflow(subflow, now)
            continue
        subflow.leaving = True
        if _has_gone(subflow):
            connection.sending.reinject_from(subflow)
        timer = connection.stack.context.timers.timer(partial(_close_leaving, subflow), connection)
        timer.set(now + grace_ns)


def _has_gone(subflow: Subflow) -> bool:
    return all(address.ip != subflow.local.ip for address in subflow.connection.stack.addresses)


def _close_leaving(subflow: Subflow, now: int) -> None:
    """The peer has had time to close a subflow whose address was taken back."""
    if _has_gone(subflow):
        subflow.endpoint.abort(now)
    elif subflow.endpoint.state in MAY_SEND:
        subflow.endpoint.finish(now)
    subflow.connection.wake()


def give_up_leaving(subflow: Subflow, now: int) -> None:
    """A retransmission timer of a subflow has expired: reset it if its FIN shows no sign of arriving."""
    if subflow.leaving and subflow.timeouts >= _PATIENCE:
        subflow.endpoint.abort(now)
