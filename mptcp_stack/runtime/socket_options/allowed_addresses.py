"""The addresses that a connection may use: TCP_MULTIPATH_ADD and TCP_MULTIPATH_REMOVE (RFC 6897 section 6.3.3)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.network import packed_address

if TYPE_CHECKING:
    from mptcp_stack.stack import Connection

    from .options import SocketOptions


def add(options: SocketOptions, value: Any) -> None:
    """Allow addresses beside the one of `bind`; without `bind`, those that were named are all that may be used.

    Raises OSError: EADDRNOTAVAIL when the stack has no such address, EOPNOTSUPP on a connection without MPTCP.
    """
    ips = _ips(value)
    if not ips <= _all(options):
        raise error(errno.EADDRNOTAVAIL)
    _refuse_plain(options)
    if options.connection is None:
        options.change({}, (options.local_ips or frozenset()) | ips)
    elif options.local_ips is not None:
        new = ips - options.local_ips
        options.change({}, options.local_ips | ips)
        _use(options.connection, new, options.driver.now)


def remove(options: SocketOptions, value: Any) -> None:
    """Allow addresses no longer.

    Raises OSError: EINVAL when none would be left, EADDRNOTAVAIL when one was not allowed, EOPNOTSUPP on a connection
    without MPTCP, EBUSY when no subflow from another address can carry on.
    """
    ips = _ips(value)
    allowed = _all(options) if options.local_ips is None else options.local_ips
    if not ips <= allowed:
        raise error(errno.EADDRNOTAVAIL)
    _refuse_plain(options)
    if allowed == ips:
        raise error(errno.EINVAL)
    connection = options.connection
    if connection is not None and not any(one.usable and one.local.ip not in ips for one in connection.subflows):
        raise error(errno.EBUSY)
    options.change({}, allowed - ips)
    if connection is not None:
        for ip in ips:
            connection.withdraw(ip, options.driver.now)


def _use(connection: Connection, ips: frozenset[bytes], now: int) -> None:
    """Let the path manager use local addresses that are new to the connection."""
    for address in connection.stack.addresses:
        if address.ip in ips and connection.closing.may_go_on:
            connection.path_manager.on_local_address_added(address, now)


def _all(options: SocketOptions) -> frozenset[bytes]:
    return frozenset(address.ip for address in options.stack.addresses)


def _refuse_plain(options: SocketOptions) -> None:
    if options.connection is not None and not options.connection.is_mptcp:
        raise error(errno.EOPNOTSUPP)


def _ips(value: Any) -> frozenset[bytes]:
    """The addresses in what `bind` would take, or in a list of it. Ports are chosen by the stack: EINVAL."""
    addresses = [value] if isinstance(value, tuple) else value
    if not isinstance(addresses, list) or not all(isinstance(one, tuple) and len(one) >= 2 for one in addresses):
        raise TypeError(f"must be an address or a list of addresses, each (host, port), not {value!r}")
    try:
        packed = [packed_address(host, port) for host, port, *_ in addresses]
    except ValueError:
        raise error(errno.EINVAL) from None
    if not packed or any(address.port or not address.specific for address in packed):
        raise error(errno.EINVAL)
    return frozenset(address.ip for address in packed)
