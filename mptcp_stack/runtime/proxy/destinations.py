"""Where the clients of a proxy may be taken to: never to the proxy's own host, and nowhere that is no other host.

A proxy stands where its clients do not: what listens on loopback, on the host's own addresses or on a link beside it is
not for them, in whatever form the address is written. An operator may narrow that to networks of his own.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from typing import Final

from mptcp_stack.runtime.config import IpAddress, IpNetwork

from .convert import Reason

_SPECIAL: Final[Mapping[str, Reason]] = {
    "127.0.0.0/8": Reason.MALFORMED_MESSAGE,
    "::1/128": Reason.MALFORMED_MESSAGE,
    "224.0.0.0/4": Reason.MALFORMED_MESSAGE,
    "ff00::/8": Reason.MALFORMED_MESSAGE,
    "255.255.255.255/32": Reason.MALFORMED_MESSAGE,
    # "This host": a kernel connects to itself.
    "0.0.0.0/8": Reason.MALFORMED_MESSAGE,
    "::/128": Reason.MALFORMED_MESSAGE,
    "169.254.0.0/16": Reason.NOT_AUTHORIZED,
    "fe80::/10": Reason.NOT_AUTHORIZED,
    "240.0.0.0/4": Reason.NOT_AUTHORIZED,
}
"""Networks of RFC 6890 (and of RFC 5771, 4291) without a host that is for clients; the first that fits says why.

A converter answers multicast, broadcast and loopback with "Malformed Message" (RFC 8803 section 6.2.5).
"""

_SPECIAL_NETWORKS: Final = tuple((ip_network(text), reason) for text, reason in _SPECIAL.items())

_EMBEDDING: Final[Sequence[tuple[IPv6Network, int, int]]] = (
    (IPv6Network("::ffff:0:0/96"), 0, 0),  # mapped (RFC 4291 section 2.5.5.2)
    (IPv6Network("::/96"), 0, 0),  # compatible (RFC 4291 section 2.5.5.1)
    (IPv6Network("::ffff:0:0:0/96"), 0, 0),  # translated (RFC 2765 section 2.1)
    (IPv6Network("64:ff9b::/96"), 0, 0),  # NAT64 (RFC 6052 section 2.1)
    (IPv6Network("64:ff9b:1::/48"), 0, 0),  # NAT64 of a local network (RFC 8215), with its prefix of 96 bits
    (IPv6Network("2002::/16"), 80, 0),  # 6to4 (RFC 3056 section 2)
    (IPv6Network("2001::/32"), 0, 0xFFFFFFFF),  # Teredo, the client's address inverted (RFC 4380 section 4)
)
"""Prefixes whose addresses lead to an IPv4 address: by how many bits it is shifted, and what it is combined with."""

_PROBE_PORT: Final = 9  # discard; nothing is sent


class Destinations:
    """Judges where clients want to be taken to.

    `allowed`: networks outside of which nothing is (empty: none is outside); what is forbidden stays so within them.
    """

    def __init__(self, allowed: Collection[IpNetwork] = ()) -> None:
        self.allowed = tuple(allowed)

    def refusal(self, ip: IpAddress, own: Collection[IpAddress] = ()) -> Reason | None:
        """Why no client is taken to `ip`, as a converter says it; None when it may be.

        `own` are addresses of this host that its kernel does not know as such: those of the stack.
        """
        for form in forms(ip):
            reason = next((why for network, why in _SPECIAL_NETWORKS if form in network), None)
            if form in own:
                reason = reason or Reason.NOT_AUTHORIZED
            if reason := reason or _kernels(form):
                return reason
        if self.allowed and not any(ip in network for network in self.allowed):
            return Reason.NOT_AUTHORIZED
        return None


def plain(ip: IpAddress) -> IpAddress:
    """The IPv4 address that `ip` maps (RFC 4291 section 2.5.5.2), or `ip`."""
    return (ip.version == 6 and ip.ipv4_mapped) or ip


def forms(ip: IpAddress) -> Iterator[IpAddress]:
    """An address, and every IPv4 address that a translator or tunnel may take it for."""
    yield ip
    for network, shift, mask in _EMBEDDING:
        if ip in network:
            yield IPv4Address((int(ip) >> shift & 0xFFFFFFFF) ^ mask)


def _kernels(ip: IpAddress) -> Reason | None:
    """Whether an address is one of the host's kernel, or broadcast on one of its links: asked of its routing.

    To itself it would go from the very address; to a broadcast address a socket has to be allowed to send.
    """
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((str(ip), _PROBE_PORT))
            except PermissionError:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                probe.connect((str(ip), _PROBE_PORT))
                return Reason.MALFORMED_MESSAGE
            return Reason.NOT_AUTHORIZED if ip_address(probe.getsockname()[0]) == ip else None
    except OSError:
        return None  # there is no way to it, which connecting will find out, too
