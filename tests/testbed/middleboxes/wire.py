"""Packets for middleboxes, made and judged by scapy: nothing here shares code with what is tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from testbed.middleboxes import BACKWARD, FORWARD
from testbed.middleboxes.registry import build

VNET = bytes(10)
CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
ADDRESSES = {4: ("10.0.1.1", "10.0.1.2"), 6: ("fd00::1", "fd00::2")}
PORTS = 33000, 80
MS = 10**6


class Line:
    """A link with middleboxes; what comes out of it is checked and returned as scapy's packets."""

    def __init__(self, *boxes: Mapping[str, Any], version: int = 4, seed: str = "1") -> None:
        self.chain = build(boxes, seed, mtu_bytes=1500)
        self.version = version
        self.now_ns = 0

    def tcp(self, way: int = FORWARD, flags: str = "A", payload: bytes = b"", **fields: Any) -> Packet:
        """A segment of the client (FORWARD) or of the server."""
        macs = (CLIENT_MAC, SERVER_MAC)
        source, destination = ADDRESSES[self.version]
        ip = IP if self.version == 4 else IPv6
        ports = fields.pop("ports", PORTS)
        fields |= {name: fields[name] % 2**32 for name in ("seq", "ack") if name in fields}  # they wrap
        return (
            Ether(src=macs[way], dst=macs[1 - way])
            / (ip(src=source, dst=destination) if way == FORWARD else ip(src=destination, dst=source))
            / TCP(sport=ports[way], dport=ports[1 - way], flags=flags, **fields)
            / Raw(payload)
        )

    def send(self, packet: Packet, way: int = FORWARD) -> list[tuple[int, Packet]]:
        """What leaves the middleboxes for a packet, with directions."""
        return self._seen(self.chain.take(VNET + bytes(packet), way, self.now_ns))

    def onward(self, packet: Packet, way: int = FORWARD) -> list[Packet]:
        """The same when everything goes on in the packet's direction."""
        out = self.send(packet, way)
        assert all(direction == way for direction, _ in out)
        return [one for _, one in out]

    def one(self, packet: Packet, way: int = FORWARD) -> Packet:
        """The same when it is just one."""
        (packet,) = self.onward(packet, way)
        return packet

    def segment(self, way: int = FORWARD, **fields: Any) -> Packet:
        """What one segment of TCP becomes."""
        return self.one(self.tcp(way, **fields), way)

    def wait(self, duration_ns: int) -> list[tuple[int, Packet]]:
        """What the middleboxes let go in this time."""
        end, out = self.now_ns + duration_ns, []
        while self.chain.deadline_ns is not None and self.chain.deadline_ns <= end:
            self.now_ns = self.chain.deadline_ns
            out += self._seen(self.chain.expire(self.now_ns))
        self.now_ns = end
        return out

    def counters(self, number: int = 1) -> dict[str, int]:
        """Counters of one of the middleboxes."""
        return list(self.chain.counters().values())[number - 1]

    @staticmethod
    def _seen(frames: list[tuple[int, bytes]]) -> list[tuple[int, Packet]]:
        return [(direction, checked(frame)) for direction, frame in frames]


def checked(frame: bytes) -> Packet:
    """A frame as scapy reads it, once its lengths and checksums are what scapy would have put there."""
    assert frame[:10] == VNET
    packet = Ether(frame[10:])
    again = packet.copy()
    for layer, fields in ((IP, ("len", "chksum")), (IPv6, ("plen",)), (TCP, ("chksum", "dataofs"))):
        if layer in again:
            for field in fields:
                again[layer].delfieldval(field)
    assert bytes(again) == frame[10:]
    return packet


def options(packet: Packet) -> list[Any]:
    """The names (or numbers) of a segment's options but for NOP."""
    return [name for name, _ in packet[TCP].options if name not in ("NOP", "EOL")]


def payload(packet: Packet) -> bytes:
    """A segment's payload."""
    return bytes(packet[TCP].payload)


__all__ = ["BACKWARD", "FORWARD", "MS", "Line", "checked", "options", "payload"]
