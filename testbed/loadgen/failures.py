"""Why a connection could not be made, in the words that generators count by."""

from __future__ import annotations

import errno

NO_PORT, UNREACHABLE = "ports", "unreachable"


def not_connected(error: OSError) -> str:
    """Return NO_PORT when this end ran out of local ports: its earlier connections wait in TIME-WAIT; else UNREACHABLE.

    A stack has 28 000 to 64 000 of them, and where this end closed first each is taken for a minute after its
    connection: that is no fault of a path.
    """
    return NO_PORT if error.errno == errno.EADDRNOTAVAIL else UNREACHABLE
