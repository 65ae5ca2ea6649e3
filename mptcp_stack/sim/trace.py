"""What was sent, for comparing runs and for reading when something goes wrong."""

from typing import Final, NamedTuple

from mptcp_stack.wire import Packet, WireError, decode

FLAG_NAMES: Final = "FSRP.UEW"


class TraceRecord(NamedTuple):
    """One IP packet as it left a host."""

    time_ns: int
    host: str
    packet: bytes


def describe_packet(packet: bytes) -> str:
    """One line in the manner of tcpdump for one IP packet; a malformed one is called so."""
    try:
        segment = decode(Packet([packet]))
    except WireError as error:
        return f"malformed: {error}"
    options = segment.options
    flags = "".join(name for bit, name in enumerate(FLAG_NAMES) if segment.flags >> bit & 1)
    parts = [
        f"{_address(segment.src)}:{segment.sport} > {_address(segment.dst)}:{segment.dport} [{flags}]",
        f"seq {segment.seq} ack {segment.ack} win {segment.window} len {segment.length}",
    ]
    if options.sack:
        parts.append("sack " + ",".join(f"{start}-{end}" for start, end in options.sack))
    parts += [str(option) for option in (options.dss, *options.mptcp) if option is not None]
    return " ".join(parts)


def _address(packed: bytes) -> str:
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return ":".join(packed[i : i + 2].hex() for i in range(0, 16, 2))
