"""Where a connection ends, and what can be the other end of one."""

from typing import Final, NamedTuple

_MAPPED: Final = bytes(10) + b"\xff\xff"
_UNSPECIFIED_6: Final = bytes(16)
_LOOPBACK_6: Final = bytes(15) + b"\x01"
_NO_HOSTS_4: Final = frozenset((0, 127, *range(224, 256)))
"""First bytes of addresses that are no host's: "this network", loopback, multicast, and the reserved ones, which the
limited broadcast address is one of (RFC 1122 section 3.2.1.3, RFC 6890)."""


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

    @property
    def unmapped(self) -> "Address":
        """The IPv4 address that an IPv4-mapped one stands for (RFC 4291 section 2.5.5.2), or itself."""
        return Address(unmapped(self.ip), self.port) if len(self.ip) == 16 else self

    def overlaps(self, other: "Address") -> bool:
        """Whether some address belongs to both, the port aside."""
        if self.specific and other.specific:
            return self.ip == other.ip
        return not self.ip or not other.ip or len(self.ip) == len(other.ip)


def unmapped(ip: bytes) -> bytes:
    """The IPv4 address that an IPv4-mapped one stands for (RFC 4291 section 2.5.5.2), or the address itself."""
    return ip[12:] if len(ip) == 16 and ip.startswith(_MAPPED) else ip


def names_one_host(ip: bytes) -> bool:
    """Whether an address on the wire can be that of one host, as far as it shows without the prefixes of its links.

    Nobody may connect to others, or from them (RFC 9293 section 3.9.2.3): unspecified, loopback, multicast, broadcast.
    A mapped address stands for one of IPv4, and is never in a packet; an empty one is none.
    """
    if len(ip) == 4:
        return ip[0] not in _NO_HOSTS_4
    return ip[:1] not in (b"", b"\xff") and ip not in (_UNSPECIFIED_6, _LOOPBACK_6) and not ip.startswith(_MAPPED)
