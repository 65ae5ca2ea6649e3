"""The stack's own addresses: which of them reaches what."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

FLAGS: Final = ("signal", "subflow", "backup", "fullmesh")
"""What an address is for, in the words of ip-mptcp(8); all path managers heed ``backup``, ``default`` the others."""


@dataclass(frozen=True)
class LocalAddress:
    """An address of the stack.

    ``ip`` is packed (4 or 16 bytes), ``address_id`` MPTCP's name for it; with ``gateway`` it reaches beyond its prefix.
    ``device`` names the link that it is on, where that matters: two links may have the same link-local prefix.
    ``flags`` are of ``FLAGS``; with ``port`` it is announced on a port of its own.
    """

    ip: bytes
    prefix_length: int = 32
    gateway: bool = False
    address_id: int = 0
    mtu: int = 0
    """Of the link it is on (bytes); 0: that of the stack's configuration."""
    device: str = ""
    flags: frozenset[str] = frozenset()
    port: int | None = None

    @property
    def backup(self) -> bool:
        """Whether subflows from it are used only without an alternative."""
        return "backup" in self.flags

    def is_neighbour(self, remote: bytes) -> bool:
        """Whether ``remote`` is on its own prefix."""
        if len(remote) != len(self.ip):
            return False
        shift = 8 * len(remote) - self.prefix_length
        return int.from_bytes(remote, "big") >> shift == int.from_bytes(self.ip, "big") >> shift

    @property
    def broadcast(self) -> bytes:
        """The broadcast address of its prefix, empty where there is none: 31 bits or more (RFC 3021), and IPv6."""
        host_bits = 32 - self.prefix_length
        if len(self.ip) != 4 or host_bits < 2:
            return b""
        return (int.from_bytes(self.ip, "big") | ((1 << host_bits) - 1)).to_bytes(4, "big")

    def reaches(self, remote: bytes, link: str | None = None) -> bool:
        """Whether packets from this address find their way to ``remote``.

        A link-local ``remote`` is one on ``link`` (None: on whatever link); it talks to link-local addresses alone.
        """
        if is_link_local(self.ip) or is_link_local(remote):
            return is_link_local(self.ip) and self.is_neighbour(remote) and link in (None, self.device)
        return len(remote) == len(self.ip) and (self.gateway or self.is_neighbour(remote))


def is_link_local(ip: bytes) -> bool:
    """Whether an address means something on one link only (RFC 4291 section 2.5.6, RFC 3927)."""
    return ip[:2] == b"\xa9\xfe" if len(ip) == 4 else ip[:1] == b"\xfe" and ip[1] & 0xC0 == 0x80


def choose_source(addresses: Iterable[LocalAddress], remote: bytes) -> LocalAddress | None:
    """The address from which ``remote`` is reached: a neighbour of its own before one with a gateway, then in order."""
    reaching = [address for address in addresses if address.reaches(remote)]
    return next((address for address in reaching if address.is_neighbour(remote)), reaching[0] if reaching else None)
