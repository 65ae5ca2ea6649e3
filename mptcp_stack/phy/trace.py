"""Packets as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from ipaddress import ip_address
from typing import Final

from mptcp_stack.wire import Options, Packet, Segment, WireError, decode

from .tap import Observer

# In the order of tcpdump.
_FLAGS: Final = ((0x01, "F"), (0x02, "S"), (0x04, "R"), (0x08, "P"), (0x10, "."), (0x20, "U"), (0x40, "E"), (0x80, "W"))


def describe(packet: Packet) -> str:
    """One line about a packet: `SOURCE > DESTINATION [FLAGS] seq ack win length`, and its options but timestamps."""
    try:
        segment = decode(packet.joined())
    except WireError as error:
        return f"{packet.length} bytes, not a TCP segment: {error}"
    flags = "".join(letter for bit, letter in _FLAGS if segment.flags & bit)
    line = f"{_name(segment.src, segment.sport)} > {_name(segment.dst, segment.dport)} [{flags}]"
    line += f" seq {segment.seq} ack {segment.ack} win {segment.window} length {segment.length}"
    if packet.gso_size:
        line += f" in packets of {packet.gso_size}"
    return " ".join((line, *_options(segment)))


def tracer(write: Callable[[str], None]) -> Observer:
    """An observer for `Tap` that writes a line about each packet: seconds since 1970, `->` out or `<-` in."""

    def observe(time_ns: int, outgoing: bool, packet: Packet) -> None:
        write(f"{time_ns / 1e9:.6f} {'->' if outgoing else '<-'} {describe(packet)}")

    return observe


def _name(ip: bytes, port: int) -> str:
    return f"{ip_address(ip)}:{port}" if len(ip) == 4 else f"[{ip_address(ip)}]:{port}"


def _options(segment: Segment) -> Iterator[str]:
    options: Options = segment.options
    if options.mss is not None:
        yield f"mss={options.mss}"
    if options.window_scale is not None:
        yield f"wscale={options.window_scale}"
    if options.sack_permitted:
        yield "sackOK"
    for left, right in options.sack:
        yield f"sack={left}:{right}"
    for option in (*options.mptcp, options.dss):
        if option is not None:
            yield _text(option)


def _text(option: object) -> str:
    """`Name(field=value ...)` of what is present; bytes in hexadecimal."""
    assert is_dataclass(option)
    values = ((field.name, getattr(option, field.name)) for field in fields(option))
    present = ((name, value) for name, value in values if value is not None and value is not False)
    inner = " ".join(f"{name}={value.hex() if isinstance(value, bytes) else value}" for name, value in present)
    return f"{type(option).__name__}({inner})"
