"""Records of capture files, pcap and pcapng, also compressed; and whether a file is whole."""

from __future__ import annotations

import bz2
import gzip
import logging
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from analysis.errors import UnreadableFile

_LONGEST_MAGIC: Final = 6
_UNPACK: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open,
}  # fmt: skip
_UNKNOWN_PACKING: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4"}
"""By the first bytes of a file."""


class Packet(NamedTuple):
    """A packet: time since 1970, length on the wire, the link's type, and its bytes as far as they were captured."""

    time_ns: int
    wire_bytes: int
    link_type: int
    frame: bytes


@dataclass
class Unread:
    """What of captures is left out: packets by the reason, and files that end, or break, in the middle."""

    packets: Counter[str] = field(default_factory=Counter)
    torn: dict[Path, None] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return a line for each reason."""
        lines = [
            f"{path}: ends in the middle of a packet, or is damaged: what follows is missing" for path in self.torn
        ]
        return lines + [f"{count} {'packets' if count > 1 else 'packet'} {why}" for why, count in self.packets.items()]


def records(path: Path, unread: Unread) -> Iterator[Packet]:
    """Return the packets of a file in its order. Raises UnreadableFile for what is no capture."""
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapReader

    open_reader: Any = RawPcapReader  # a file will do, whatever its types say
    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)  # its warnings are said here
    with _opened(path) as file:
        try:
            reader = open_reader(file)
        except (EOFError, Scapy_Exception) as error:
            why = "neither pcap nor pcapng" if not file.broken else "it cannot be unpacked"
            raise UnreadableFile(f"{path}: not a capture file ({why})") from error
        for packet in _packets(reader):
            if file.torn:  # so is this one
                break
            yield packet
        if file.torn or file.read(1):
            unread.torn[path] = None


def _packets(reader: Any) -> Iterator[Packet]:
    if not hasattr(reader, "interfaces"):  # pcap
        scale, link_type = (1 if reader.nano else 1000), reader.linktype
        for frame, (sec, fraction, wire_bytes, _) in reader:
            yield Packet(sec * 1_000_000_000 + fraction * scale, wire_bytes, link_type, frame)
        return
    _number_interfaces_by_section(reader)
    for frame, packet in reader:
        if packet.tshigh is not None:  # a packet without a time is of no use here
            ticks = packet.tshigh << 32 | packet.tslow
            yield Packet(ticks * 1_000_000_000 // packet.tsresol, packet.wirelen, packet.linktype, frame)


def _number_interfaces_by_section(reader: Any) -> None:
    """Let interfaces be numbered anew in each section of a pcapng file (draft-ietf-opsawg-pcapng section 4.2).

    Scapy 2.8 goes on where the section before ended; of a file that was joined out of others it would take the link
    types and the resolutions of time for those of the first.
    """
    begin = reader._read_block_shb

    def begin_section() -> None:
        reader.interfaces.clear()
        begin()

    reader._read_block_shb = begin_section


class _Watched:
    """A file that remembers whether it ended within what was to be read; scapy takes that for its end."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self.name = name
        self.torn = self.broken = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; what cannot be unpacked ends the file."""
        try:
            data = self._file.read(size)
        except (EOFError, OSError, lzma.LZMAError, zlib.error):
            self.torn = self.broken = True
            return b""
        self.torn = self.torn or 0 < len(data) < size
        return data

    def close(self) -> None:
        """Close it."""
        self._file.close()


@contextmanager
def _opened(path: Path) -> Iterator[_Watched]:
    if path.is_dir():
        raise UnreadableFile(f"{path}: a directory: give capture files, or the directory of one point alone")
    if path.exists() and not path.is_file():
        raise UnreadableFile(f"{path}: not a capture file (not a regular file)")
    try:
        with path.open("rb") as file:
            magic = file.read(_LONGEST_MAGIC)
    except OSError as error:
        raise UnreadableFile(f"{path}: not a capture file ({error.strerror})") from error
    for beginning, name in _UNKNOWN_PACKING.items():
        if magic.startswith(beginning):
            raise UnreadableFile(
                f"{path}: packed with {name}: unpack it first; gzip, xz and bzip2 are read as they are"
            )
    unpack = next((unpack for beginning, unpack in _UNPACK.items() if magic.startswith(beginning)), open)
    with unpack(path, "rb") as file:
        yield _Watched(file, str(path))
