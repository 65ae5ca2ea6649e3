"""What goes wrong when bytes from the network become values."""

from typing import ClassVar


class WireError(Exception):
    """A packet is malformed or not for us; `decode` raises nothing else. The receiver counts it as `counter` and drops
    it.
    """

    counter: ClassVar[str] = "TcpInErrs"


class ChecksumError(WireError):
    """An IPv4 header or TCP checksum does not match (counters IpInHdrErrors, TcpInCsumErrors)."""


class HeaderChainError(WireError):
    """The extension headers of an IPv6 packet are malformed, too many, or ask for what a host must not do."""

    counter = "Ip6InHdrErrors"


class OtherProtocolError(WireError):
    """A well-formed IP packet that carries something else than TCP, such as ICMP."""


class FragmentError(WireError):
    """A part of a packet: all of them have to be put together first."""
