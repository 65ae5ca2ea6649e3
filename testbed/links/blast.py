"""Sends UDP packets at given rates: `blast.py FLOW ...`, each a JSON object.

`address`, `packet_bytes` (of IP), `rate_bps` (of Ethernet frames), `burst` (packets at a time), `first` (packets at
once before, to fill queue and token bucket, so that what comes out is the link's rate from the start) and `count`
(packets after those, at least; 0: until killed). Prints a line when it begins; when all flows have an end, at the end
one line of JSON: by address the packets sent and the ns from the first to the last. Nobody listens to the packets: they
are counted at the receiving interface. Run as a file of its own in a host by `testbed.calibrate`; needs nothing but
the standard library.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

_ETHERNET_BYTES, _HEADER_BYTES = 14, 28  # of IPv4 and UDP
_UDP_SEGMENT = 103  # linux/udp.h: one send of many packets
_SO_SNDBUFFORCE, _SEND_BUFFER_BYTES = 32, 1 << 28
_DISCARD_PORT = 9


class Flow:
    """Packets to one address, `burst` at a time."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.address: str = asked["address"]
        self._burst: int = asked["burst"]
        payload_bytes = asked["packet_bytes"] - _HEADER_BYTES
        self._payload = bytes(payload_bytes * self._burst)
        self._gap_ns = self._burst * (asked["packet_bytes"] + _ETHERNET_BYTES) * 8_000_000_000 // asked["rate_bps"]
        self._first = -(-asked["first"] // self._burst)
        self._left = -(-asked["count"] // self._burst) if asked["count"] else -1
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, payload_bytes)
        # A shaper of the kernel's holds packets on the sender's account: with the usual buffer they would wait here.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER_BYTES)
        self.due_ns = 0
        self.sent = 0
        self.took_ns = 0

    def start(self) -> None:
        """Send the first packets; the others are due from now on."""
        for _ in range(self._first):
            self._send()
        self._began_ns = self.due_ns = time.monotonic_ns()

    @property
    def has_ended(self) -> bool:
        """Whether everything is sent."""
        return self._left == 0

    def continue_(self) -> None:
        """Send what is due."""
        self.took_ns = time.monotonic_ns() - self._began_ns
        self._send()
        self._left -= 1
        self.due_ns += self._gap_ns

    def _send(self) -> None:
        # Not connected: an earlier packet has found nobody listening, as expected, and that is no error of this one.
        self._socket.sendto(self._payload, (self.address, _DISCARD_PORT))
        self.sent += self._burst


def main() -> None:
    """Send on every flow named on the command line."""
    flows = [Flow(json.loads(argument)) for argument in sys.argv[1:]]
    for flow in flows:
        flow.start()
    print("sending", flush=True)
    while unfinished := [flow for flow in flows if not flow.has_ended]:
        flow = min(unfinished, key=lambda one: one.due_ns)
        time.sleep(max(0, flow.due_ns - time.monotonic_ns()) / 1e9)
        flow.continue_()
    print(json.dumps({flow.address: {"packets": flow.sent, "ns": flow.took_ns} for flow in flows}), flush=True)


if __name__ == "__main__":
    main()
