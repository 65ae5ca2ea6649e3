"""Errors as the operating system raises them."""

from __future__ import annotations

import os


def error(number: int) -> OSError:
    """The OSError of an `errno` number, of the subclass and with the text that the standard library gives it."""
    return OSError(number, os.strerror(number))
