"""Network address and port translation: the link's first end is inside."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from pydantic import Field

from testbed.middleboxes import BACKWARD, FORWARD
from testbed.middleboxes.base import Middlebox, Parameters, Passage
from testbed.middleboxes.packet import ACK, RST, Packet, Segment
from testbed.units import TimeNs

_LAST_PORT = 65535
_ARP = b"\x08\x06"
_ARP_REQUEST, _ARP_REPLY = b"\0\1\x08\0\6\4\0\1", b"\0\1\x08\0\6\4\0\2"


class NatParameters(Parameters):
    """`timeout`: an idle mapping is forgotten after it. `first_port`: ports outside are given out from here.

    `address`: the IPv4 address outside, on the subnet of the link; without one addresses stay and only ports change.
    `forgotten`: whether what comes from outside for no mapping is dropped or answered with a reset.
    """

    timeout_ns: TimeNs = Field(default=60_000_000_000, alias="timeout")
    first_port: int = Field(default=40000, ge=1024, le=60000)
    address: IPv4Address | None = None
    forgotten: Literal["drop", "reset"] = "drop"


@dataclass(slots=True)
class _Mapping:
    inside: tuple[bytes, int]
    outside: tuple[bytes, int]
    used_ns: int


class Nat(Middlebox[NatParameters]):
    """TCP with other ports (and another address) outside; connections only from inside. Other protocols pass."""

    parameters_model = NatParameters

    def begin(self) -> None:
        self._by_inside: dict[tuple[bytes, int], _Mapping] = {}
        self._by_outside: dict[tuple[bytes, int], _Mapping] = {}
        self._next_port = self.parameters.first_port
        self._mac = b""

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        inside, outside = segment.endpoints
        if direction == FORWARD:
            self._mac = segment.ethernet[6:12]
            mapping = self._live(self._by_inside.get(inside), now_ns) or self._map(inside, now_ns)
            source, port = mapping.outside
            return [(FORWARD, segment.changed(source=source, source_port=port))]
        known = self._live(self._by_outside.get(outside), now_ns)
        if known is None:
            return self._refuse(segment)
        destination, port = known.inside
        return [(BACKWARD, segment.changed(destination=destination, destination_port=port))]

    def on_packet(self, packet: Packet, direction: int, now_ns: int) -> Passage:
        address = self.parameters.address
        if address is None or direction == FORWARD or packet.ethernet[12:] != _ARP or not self._mac:
            return [(direction, packet)]
        body = packet.body
        if body[:8] != _ARP_REQUEST or body[24:28] != address.packed:
            return [(direction, packet)]
        asker = body[8:18]
        reply = _ARP_REPLY + self._mac + address.packed + asker
        return [(FORWARD, packet.changed(ethernet=asker[:6] + self._mac + _ARP, body=reply))]

    def _live(self, mapping: _Mapping | None, now_ns: int) -> _Mapping | None:
        """A mapping that is not forgotten yet, now in use."""
        if mapping is None:
            return None
        if now_ns - mapping.used_ns > self.parameters.timeout_ns:
            del self._by_inside[mapping.inside], self._by_outside[mapping.outside]
            return None
        mapping.used_ns = now_ns
        return mapping

    def _map(self, inside: tuple[bytes, int], now_ns: int) -> _Mapping:
        address = self.parameters.address.packed if self.parameters.address and len(inside[0]) == 4 else inside[0]
        while (address, self._next_port) in self._by_outside:
            self._advance()
        mapping = _Mapping(inside, (address, self._next_port), now_ns)
        self._by_inside[inside] = self._by_outside[mapping.outside] = mapping
        self._advance()
        return mapping

    def _advance(self) -> None:
        self._next_port = self._next_port + 1 if self._next_port < _LAST_PORT else self.parameters.first_port

    def _refuse(self, segment: Segment) -> Passage:
        if self.parameters.forgotten == "drop" or segment.flags & RST:
            return []
        if segment.flags & ACK:
            return [(FORWARD, segment.answer(flags=RST, acknowledgement=0))]
        return [(FORWARD, segment.answer(flags=RST | ACK, sequence=0))]
