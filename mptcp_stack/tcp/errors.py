"""The errors that an application sees, as the standard library's socket module raises them."""

import errno
from typing import Final

from mptcp_stack.wire import Trouble

_TROUBLES: Final = {
    Trouble.NO_ROUTE: (errno.ENETUNREACH, "Network is unreachable"),
    Trouble.HOST_UNREACHABLE: (errno.EHOSTUNREACH, "No route to host"),
    Trouble.PROTOCOL_UNREACHABLE: (errno.ENOPROTOOPT, "Protocol not available"),
    Trouble.PORT_UNREACHABLE: (errno.ECONNREFUSED, "Connection refused"),
    Trouble.PROHIBITED: (errno.EACCES, "Permission denied"),
    Trouble.EXPIRED: (errno.EHOSTUNREACH, "No route to host"),
    Trouble.MALFORMED: (errno.EPROTO, "Protocol error"),
}


def connection_refused() -> OSError:
    """The peer answered our SYN with a reset."""
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def connection_reset() -> OSError:
    """The peer reset an open connection."""
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def timed_out() -> OSError:
    """The peer stopped answering."""
    return TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def aborted_by(problem: BaseException) -> OSError:
    """An exception in what serves the connection has ended it."""
    error = ConnectionAbortedError(errno.ECONNABORTED, f"Software caused connection abort: {problem!r}")
    error.__cause__ = problem
    return error


def invalid(why: str) -> OSError:
    """What is asked for cannot be, whatever the state of the connection."""
    return OSError(errno.EINVAL, why)


def broken_pipe() -> OSError:
    """The application writes after it ended its stream."""
    return BrokenPipeError(errno.EPIPE, "Broken pipe")


def address_in_use() -> OSError:
    """A listener or connection already uses this address and port."""
    return OSError(errno.EADDRINUSE, "Address already in use")


def address_not_available() -> OSError:
    """The stack has no such address, or no free port on it."""
    return OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


def family_not_supported() -> OSError:
    """The two ends of a flow would be an IPv4 and an IPv6 address."""
    return OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")


def network_unreachable() -> OSError:
    """No address of the stack reaches the destination."""
    return OSError(errno.ENETUNREACH, "Network is unreachable")


def unreachable(trouble: Trouble) -> OSError:
    """A router or the peer's host says that segments do not arrive (the errors are those of Linux)."""
    code, text = _TROUBLES[trouble]
    return OSError(code, text)
