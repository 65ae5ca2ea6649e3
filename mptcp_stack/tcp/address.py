"""Where a connection ends."""

from typing import NamedTuple


class Address(NamedTuple):
    """A packed IP address (4 or 16 bytes) and a port.

    The unspecified address of a family stands for all of that family, an empty one for all of both.
    """

    ip: bytes
    port: int

    @property
    def specific(self) -> bool:
        """Whether it is one address."""
        return any(self.ip)

    def overlaps(self, other: "Address") -> bool:
        """Whether some address belongs to both, the port aside."""
        if self.specific and other.specific:
            return self.ip == other.ip
        return not self.ip or not other.ip or len(self.ip) == len(other.ip)
