"""Addresses of ours that come and go while a connection lives (RFC 8684 section 3.4.2)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.host import LocalAddress


def address_added(connection: "Connection", address: "LocalAddress", now: int) -> None:
    """The stack has an address (again)."""
    if connection.is_mptcp and connection.established and not connection.closing.data_closed:
        connection.departed -= {address.ip}
        connection.path_manager.on_local_address_added(address, now)


def address_removed(connection: "Connection", address: "LocalAddress", now: int) -> None:
    """The stack has an address no longer. Plain TCP can only wait for its return."""
    if connection.is_mptcp and connection.established and not connection.closing.data_closed:
        connection.departed |= {address.ip}
        connection.path_manager.on_local_address_removed(address, now)
        take_leave(connection, now)


def take_leave(connection: "Connection", now: int) -> None:
    """Withdraw the addresses that have gone, once a subflow is there that can say so.

    Until then their subflows stay: the address may return before there is another one.
    """
    departed = connection.departed
    if any(subflow.usable and subflow.local.ip not in departed for subflow in connection.subflows):
        connection.departed = frozenset()
        for ip in departed:
            withdraw(connection, ip, now)


def withdraw(connection: "Connection", ip: bytes, now: int) -> None:
    """Take an address back with REMOVE_ADDR, and reset the subflows from it."""
    subflows = [subflow for subflow in connection.subflows if subflow.local.ip == ip]
    announced = {address_id for address_id, address in connection.announcements.sent.items() if address.ip == ip}
    connection.announcements.withdraw(sorted(announced | {subflow.local_id for subflow in subflows}))
    for subflow in subflows:
        subflow.endpoint.abort(now)
