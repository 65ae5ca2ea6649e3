"""The errors that an application sees, as the standard library's socket module raises them."""

import errno


def connection_refused() -> OSError:
    """The peer answered our SYN with a reset."""
    return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


def connection_reset() -> OSError:
    """The peer reset an open connection."""
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def timed_out() -> OSError:
    """The peer stopped answering."""
    return TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def broken_pipe() -> OSError:
    """The application writes after it ended its stream."""
    return BrokenPipeError(errno.EPIPE, "Broken pipe")


def address_in_use() -> OSError:
    """A listener or connection already uses this address and port."""
    return OSError(errno.EADDRINUSE, "Address already in use")


def address_not_available() -> OSError:
    """The stack has no such address, or no free port on it."""
    return OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


def network_unreachable() -> OSError:
    """No address of the stack reaches the destination."""
    return OSError(errno.ENETUNREACH, "Network is unreachable")
