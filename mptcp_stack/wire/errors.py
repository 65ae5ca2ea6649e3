"""What goes wrong when bytes from the network become values."""


class WireError(Exception):
    """A packet is malformed or not for us; `decode` raises nothing else. The receiver counts it and drops
    it.
    """


class ChecksumError(WireError):
    """An IPv4 header or TCP checksum does not match (counters IpInHdrErrors, TcpInCsumErrors)."""


class ProtocolError(WireError):
    """A well-formed IP packet that carries something else than TCP, such as ICMP."""
