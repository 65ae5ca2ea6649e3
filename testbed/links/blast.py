"""Sends UDP packets of the full MTU at a given rate until told to stop: `blast.py ADDRESS=RATE_BPS=QUEUE_BYTES ...`

Run as a file of its own in a host by `testbed.calibrate`; needs nothing but the standard library. Nobody listens
to the packets: they are counted at the receiving interface. The rate counts Ethernet, IP and UDP headers.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

_PAYLOAD_BYTES, _FRAME_BYTES = 1472, 1514
_UDP_SEGMENT = 103  # linux/udp.h: one send of many packets
_DISCARD_PORT = 9
_MAX_PACKETS = 16


class Flow:
    """Packets to one address, a few at a time."""

    def __init__(self, address: str, rate_bps: int, queue_bytes: int) -> None:
        packets = max(1, min(_MAX_PACKETS, queue_bytes // 2 // _FRAME_BYTES))
        self._payload = bytes(_PAYLOAD_BYTES * packets)
        self._gap_s = packets * _FRAME_BYTES * 8 / rate_bps
        # A full queue and an empty bucket from the start: what comes out then is the link's rate at once.
        self._head_start = 2 * queue_bytes // (packets * _FRAME_BYTES) + 1
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD_BYTES)
        self._socket.connect((address, _DISCARD_PORT))
        self.due_s = 0.0

    def start(self) -> None:
        """Send the head start; later sends are due from now on."""
        for _ in range(self._head_start):
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
    flows = [Flow(address, int(rate), int(queue)) for address, rate, queue in (a.split("=") for a in sys.argv[1:])]
    for flow in flows:
        flow.start()
    print("sending", flush=True)
    while True:
        flow = min(flows, key=lambda one: one.due_s)
        time.sleep(max(0.0, flow.due_s - time.monotonic()))
        flow.continue_()


if __name__ == "__main__":
    main()
