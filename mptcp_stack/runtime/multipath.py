"""The addresses that a connection may use: TCP_MULTIPATH_ADD and TCP_MULTIPATH_REMOVE (RFC 6897 section 6.3.3)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from .errors import error
from .network import packed_address

if TYPE_CHECKING:
    from .options import SocketOptions


def add(options: SocketOptions, value: Any) -> None:
    """Allow addresses beside the one of `bind`; without `bind`, those that were named are all that may be used.

    Raises OSError: EADDRNOTAVAIL when the stack has no such address, EOPNOTSUPP on a connection without MPTCP.
    """
    ips = _ips(value)
    if not ips <= _all(options):
        raise error(errno.EADDRNOTAVAIL)
    _refuse_plain(options)
    if options.connection is not None and options.local_ips is None:
        return
    options.change({}, (options.local_ips or frozenset()) | ips)


def remove(options: SocketOptions, value: Any) -> None:
    """Allow addresses no longer.

    Raises OSError: EINVAL when none would be left, EADDRNOTAVAIL when one was not allowed, EOPNOTSUPP on a connection
    without MPTCP.
    """
    ips = _ips(value)
    allowed = _all(options) if options.local_ips is None else options.local_ips
    if not ips <= allowed:
        raise error(errno.EADDRNOTAVAIL)
    _refuse_plain(options)
    if allowed == ips:
        raise error(errno.EINVAL)
    options.change({}, allowed - ips)


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
    if not packed or any(address.port or not address.ip for address in packed):
        raise error(errno.EINVAL)
    return frozenset(address.ip for address in packed)
