"""Small UDP packets with the time in them: how long a link takes, and what it loses.

`probe.py send GAP_US COUNT WAIT_US ADDRESS ...` sends one packet to every address, so that they know each other, after
WAIT_US COUNT packets, GAP_US apart, and ends. Their numbers begin with 1; that of the first packet is 0.
`probe.py receive ADDRESS ...` prints a line when it is ready; when its standard input ends it prints one line of JSON:
by address the list of [number of the packet, time on the way in ns], in order of arrival.

Both ends read the same clock; arrival is when the kernel's network code saw the packet, not when this program did. Run
as a file of its own in hosts by `testbed.calibrate`; needs nothing but the standard library.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from contextlib import suppress
from struct import Struct

PORT = 10
FRAME_BYTES = 14 + 20 + 8 + 16
"""Length of a probe on the wire."""

_SO_TIMESTAMPNS = 35
_STAMP, _TIMESPEC = Struct("!QQ"), Struct("qq")
_RECEIVE_BUFFER_BYTES = 1 << 22


def send(gap_us: int, count: int, wait_us: int, addresses: list[str]) -> None:
    """Send a packet and then `count` to each address, the addresses in turn."""
    sockets = []
    for address in addresses:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.connect((address, PORT))
        sockets.append(one)
    due = time.monotonic()
    for number in range(count + 1):
        time.sleep(max(0.0, due - time.monotonic()))
        for one in sockets:
            with suppress(ConnectionRefusedError):
                one.send(_STAMP.pack(number, time.time_ns()))
        due += (gap_us if number else wait_us) / 1e6


def receive(addresses: list[str]) -> None:
    """Note every packet until standard input ends."""
    arrived: dict[str, list[tuple[int, int]]] = {address: [] for address in addresses}
    sockets = {}
    for address in addresses:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        one.bind((address, PORT))
        sockets[one] = arrived[address]
    print("receiving", flush=True)
    while True:
        ready = select.select([sys.stdin, *sockets], [], [])[0]
        if ready == [sys.stdin]:  # nothing else waits any more
            print(json.dumps(arrived), flush=True)
            return
        for one in sockets.keys() & set(ready):
            sockets[one].append(_read(one))


def _read(one: socket.socket) -> tuple[int, int]:
    data, ancillary, _, _ = one.recvmsg(_STAMP.size, socket.CMSG_SPACE(_TIMESPEC.size))
    number, sent_ns = _STAMP.unpack(data)
    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
    return number, seconds * 1_000_000_000 + nanoseconds - sent_ns


def main() -> None:
    """Do what the command line says."""
    role, *arguments = sys.argv[1:]
    if role == "receive":
        receive(arguments)
    else:
        gap_us, count, wait_us, *addresses = arguments
        send(int(gap_us), int(count), int(wait_us), addresses)


if __name__ == "__main__":
    main()
