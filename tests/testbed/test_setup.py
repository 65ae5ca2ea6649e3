"""Connections set up while others are open: the generator over loopback, and what a capture says of handshakes."""

import asyncio
import struct
from pathlib import Path

import pytest

from testbed.errors import LabError
from testbed.loadgen import setup
from testbed.loadgen.options import Endpoint
from testbed.stacks.setup import handshakes

HOST = "127.0.0.1"
SYN, ACK = 2, 16


async def _measured(count_open: int, samples: int) -> tuple[dict, int]:
    accepted = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    server = await asyncio.get_running_loop().create_server(Server, HOST, 0)
    place = Endpoint(*server.sockets[0].getsockname()[:2])
    result = await setup.measure(place, count_open, samples, 10.0)
    server.close()
    return result, len(accepted)


def test_connections_stay_open_while_others_are_timed() -> None:
    result, accepted = asyncio.run(_measured(30, 5))
    assert result["failure"] is None
    assert result["open"] == 30
    assert len(result["connect_ns"]) == 5
    assert min(result["connect_ns"]) > 0
    assert accepted == 35


def test_nobody_there() -> None:
    result = asyncio.run(setup.measure(Endpoint(HOST, 1), 3, 5, 5.0))
    assert result["failure"] == "unreachable"
    assert result["connect_ns"] == []


def capture(path: Path, *packets: tuple[int, int, int, int]) -> Path:
    """A capture in nanoseconds of TCP segments: time, source port, destination port, flags."""
    data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 160, 1)
    for time_ns, source, destination, flags in packets:
        ip = bytes((0x45, 0, 0, 40)) + bytes(5) + b"\x06" + bytes(2)
        ip += bytes((10, 0, 0, 1, 10, 0, 0, 2) if destination == 80 else (10, 0, 0, 2, 10, 0, 0, 1))
        frame = bytes(12) + b"\x08\x00" + ip + struct.pack("!HHIIBBHHH", source, destination, 0, 0, 80, flags, 0, 0, 0)
        data += struct.pack("<IIII", time_ns // 10**9, time_ns % 10**9, len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path


def test_answers_are_found_in_a_capture(tmp_path: Path) -> None:
    path = capture(
        tmp_path / "a.pcap",
        (1_000, 1111, 80, SYN),
        (2_000, 2222, 80, SYN),
        (9_000, 80, 1111, SYN | ACK),
        (10_000, 1111, 80, ACK),
        (12_000, 80, 1111, SYN | ACK),  # again: the first one counts
        (1_000_000_500, 2222, 80, SYN),
        (1_000_000_900, 80, 2222, SYN | ACK),
        (1_000_001_000, 3333, 80, SYN),
    )
    assert handshakes(path) == [(1_000, 9_000, 1), (2_000, 1_000_000_900, 2), (1_000_001_000, None, 1)]


def test_a_file_that_is_no_capture(tmp_path: Path) -> None:
    path = tmp_path / "b.pcap"
    path.write_bytes(b"something else")
    with pytest.raises(LabError, match="not a capture file"):
        handshakes(path)
