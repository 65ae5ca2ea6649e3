"""Errors as the operating system raises them."""

from __future__ import annotations

import errno
import os


class NetworkDownError(OSError):
    """The device of the network has gone, and with it every connection; the log says why (ENETDOWN)."""

    def __init__(self) -> None:
        super().__init__(errno.ENETDOWN, os.strerror(errno.ENETDOWN))


def error(number: int) -> OSError:
    """The OSError of an `errno` number, of the subclass and with the text that the standard library gives it."""
    return OSError(number, os.strerror(number))
