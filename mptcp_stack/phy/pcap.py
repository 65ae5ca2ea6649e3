"""Capture files: packets of the wire with complete checksums.

Format: draft-ietf-opsawg-pcap, with nanosecond time stamps and link type RAW (packets begin with the IP header).
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import Final

from mptcp_stack.wire import Packet, complete, split

_MAGIC_NANOSECONDS: Final = 0xA1B23C4D
_LINKTYPE_RAW: Final = 101
_SNAP_BYTES: Final = 0x40000
"""As tcpdump says of packets that were not cut."""
_FILE_HEADER: Final = Struct("<IHHiIII")
_RECORD_HEADER: Final = Struct("<IIII")
_PROTOCOL_TCP: Final = 6


class PcapWriter:
    """A capture file that grows by `write`; a context manager. Raises OSError when it cannot be written."""

    def __init__(self, path: Path | str) -> None:
        self._file = Path(path).open("wb")  # noqa: SIM115 (closed by close)
        self._file.write(_FILE_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, _SNAP_BYTES, _LINKTYPE_RAW))

    def write(self, time_ns: int, data: bytes) -> None:
        """Add one IP packet seen at `time_ns`, nanoseconds since 1970 (or since a simulation began)."""
        seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
        self._file.write(_RECORD_HEADER.pack(seconds, nanoseconds, len(data), len(data)))
        self._file.write(data)

    def observe(self, time_ns: int, outgoing: bool, packet: Packet) -> None:
        """Add a packet as the packets of the wire that it stands for; an observer for `Tap`."""
        for data in wire_form(packet):
            self.write(time_ns, data)

    def close(self) -> None:
        """Close the file. May be called again."""
        self._file.close()

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def wire_form(packet: Packet) -> list[bytes]:
    """The packets of a wire that `packet` stands for, with complete checksums; other than TCP is left as it is."""
    if not _is_tcp(packet):
        return [b"".join(packet.parts)]
    return [complete(piece) for piece in split(packet)]


def _is_tcp(packet: Packet) -> bool:
    """Whether the bytes have a whole TCP header, as far as IPv4 without options and IPv6 without extensions tell."""
    head = packet.parts[0]
    if len(head) >= 40 and head[0] == 0x45:
        return head[9] == _PROTOCOL_TCP
    return len(head) >= 60 and head[0] >> 4 == 6 and head[6] == _PROTOCOL_TCP
