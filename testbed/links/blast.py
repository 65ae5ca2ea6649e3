"""Sends UDP packets of the full MTU at given rates until killed: `blast.py ADDRESS=RATE_BPS=BURST=FIRST ...`

BURST packets go out at a time, after FIRST packets at once that fill queue and token bucket, so that what comes
out is the link's rate from the start. The rate counts Ethernet, IP and UDP headers. Nobody listens to the packets:
they are counted at the receiving interface. Run as a file of its own in a host by `testbed.calibrate`; needs
nothing but the standard library.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

_PAYLOAD_BYTES, _FRAME_BYTES = 1472, 1514
_UDP_SEGMENT = 103  # linux/udp.h: one send of many packets
_DISCARD_PORT = 9


class Flow:
    """Packets to one address, `burst` at a time."""

    def __init__(self, address: str, rate_bps: int, burst: int, first: int) -> None:
        self._payload = bytes(_PAYLOAD_BYTES * burst)
        self._gap_s = burst * _FRAME_BYTES * 8 / rate_bps
        self._first = first // burst + 1
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD_BYTES)
        self._socket.connect((address, _DISCARD_PORT))
        self.due_s = 0.0

    def start(self) -> None:
        """Send the first packets; the others are due from now on."""
        for _ in range(self._first):
            self._send()
        self.due_s = time.monotonic()

    def continue_(self) -> None:
        """Send what is due."""
        self._send()
        self.due_s += self._gap_s

    def _send(self) -> None:
        with suppress(ConnectionRefusedError):  # an earlier packet found nobody listening, as expected
            self._socket.send(self._payload)


def main() -> None:
    """Send on every flow named on the command line until killed."""
    flows = [Flow(address, *map(int, numbers)) for address, *numbers in (a.split("=") for a in sys.argv[1:])]
    for flow in flows:
        flow.start()
    print("sending", flush=True)
    while True:
        flow = min(flows, key=lambda one: one.due_s)
        time.sleep(max(0.0, flow.due_s - time.monotonic()))
        flow.continue_()


if __name__ == "__main__":
    main()
