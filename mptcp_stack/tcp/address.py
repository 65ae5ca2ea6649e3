"""Where a connection ends."""

from typing import NamedTuple


class Address(NamedTuple):
    """A packed IP address (4 or 16 bytes) and a port."""

    ip: bytes
    port: int
