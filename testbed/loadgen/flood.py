"""A SYN flood: connection requests from made-up addresses, which nobody will go on with.

``flood --to 10.0.1.2:8080 --sources 10.3.1.128/25 --rate 10000`` sends SYNs at a steady rate until SIGTERM, each from
another address, port and sequence number of a seeded draw, with the options that Linux offers and, with ``--mptcp``,
MP_CAPABLE (RFC 8684 section 3.1). It prints ``{"ready": ...}`` when ``--lead`` of them are sent, and one JSON document
when it ends.

Only for the private network of a lab: whoever has the made-up addresses gets the answers. The lab's routers have to
drop what goes there (a blackhole route), or resets would empty the table that the flood is to fill.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from random import Random

from testbed.loadgen.options import Endpoint, Parser, endpoint, natural_int, positive_int, positive_number, report_error

_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHLLBBHHH")
_PSEUDO = struct.Struct("!4s4sBBH")
_SYN, _DONT_FRAGMENT, _HOPS = 0x02, 0x4000, 64
# MSS 1460, SACK permitted, timestamps, window scale 7.
_OPTIONS = bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307")
# Version 1 with flag H: HMAC-SHA256. A SYN of this version carries no key.
_MP_CAPABLE = bytes.fromhex("1e04 01 01")
_FIRST_PORT = 1024
_TICK_S = 0.001
_MOST_ARREARS_S = 0.01
"""What a machine that is too slow has not sent by then is left out: the rate falls, no burst makes up for it."""


class Syns:
    """SYNs to one endpoint, each an IPv4 packet, from random addresses of a subnet."""

    def __init__(self, to: Endpoint, sources: IPv4Network, mptcp: bool, random: Random) -> None:
        self._to, self._port = IPv4Address(to.host).packed, to.port
        self._sources = sources
        self._options = _OPTIONS + (_MP_CAPABLE if mptcp else b"")
        self._random = random

    def __iter__(self) -> Iterator[bytes]:
        """Give SYNs without end."""
        draw, to, port, options = self._random.randrange, self._to, self._port, self._options
        first, addresses = int(self._sources.network_address), self._sources.num_addresses
        length = _TCP.size + len(options)
        offset = length // 4 << 4
        while True:
            source = (first + draw(addresses)).to_bytes(4, "big")
            ports = draw(_FIRST_PORT, 1 << 16), port
            sequence = draw(1 << 32)
            tcp = _TCP.pack(*ports, sequence, 0, offset, _SYN, 0xFFFF, 0, 0) + options
            # The sum of 16-bit words with end-around carry (RFC 1071) is the whole number modulo 0xffff.
            total = int.from_bytes(_PSEUDO.pack(source, to, 0, socket.IPPROTO_TCP, length) + tcp, "big")
            tcp = _TCP.pack(*ports, sequence, 0, offset, _SYN, 0xFFFF, 0xFFFF - total % 0xFFFF, 0) + options
            header = (0x45, 0, _IP.size + length, 0, _DONT_FRAGMENT, _HOPS, socket.IPPROTO_TCP)
            yield _IP.pack(*header, 0, source, to) + tcp  # the kernel puts the header's checksum in


class Flood:
    """Sends packets at a steady rate until `stop`; says ``ready`` after the first `lead` of them."""

    def __init__(self, rate_per_s: float, lead: int) -> None:
        self._rate_per_s, self._lead = rate_per_s, lead
        self._stopped = False
        self._sent_by_second: list[int] = []
        self._elapsed_s = 0.0

    def stop(self, *_: object) -> None:
        """End `run` (also as a signal's handler)."""
        self._stopped = True

    def run(self, packets: Iterator[bytes], send: Callable[[bytes], object]) -> None:
        """Send until told to stop. Raises OSError."""
        began = last = time.monotonic()
        due, lead = 0.0, self._lead
        while not self._stopped:
            now = time.monotonic()
            due = min(due + (now - last) * self._rate_per_s, _MOST_ARREARS_S * self._rate_per_s + 1)
            last, count = now, int(due)
            for _ in range(count):
                send(next(packets))
            due -= count
            self._count(int(now - began), count)
            if lead > 0 >= (lead := lead - count):
                print(json.dumps({"ready": {"rate_per_s": self._rate_per_s}}), flush=True)
            time.sleep(max(0.0, now + _TICK_S - time.monotonic()))
        self._elapsed_s = time.monotonic() - began

    def _count(self, second: int, sent: int) -> None:
        self._sent_by_second += [0] * (second + 1 - len(self._sent_by_second))
        self._sent_by_second[second] += sent

    def report(self) -> dict[str, float | int]:
        """Return how many were sent, how fast, and in the slowest whole second (the mean when there was none)."""
        sent = sum(self._sent_by_second)
        mean = sent / self._elapsed_s if self._elapsed_s else 0.0
        return {
            "sent": sent,
            "seconds": round(self._elapsed_s, 3),
            "rate_per_s": round(mean, 1),
            "slowest_rate_per_s": min(self._sent_by_second[:-1], default=round(mean)),
        }


def _subnet(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not an IPv4 subnet: {error}") from None


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.flood", description=__doc__)
    parser.add_argument("--to", type=endpoint, required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--sources", type=_subnet, required=True, metavar="SUBNET", help="made-up addresses")
    parser.add_argument("--rate", type=positive_number, required=True, metavar="PER_S", help="SYNs a second")
    parser.add_argument("--mptcp", action="store_true", help="with MP_CAPABLE")
    parser.add_argument("--lead", type=positive_int, default=1, help="SYNs before it says that it is ready")
    parser.add_argument("--seed", type=natural_int, default=1, help="of addresses, ports and sequence numbers")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Flood until SIGTERM; returns the exit code."""
    arguments = _arguments(argv)
    flood = Flood(arguments.rate, arguments.lead)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, flood.stop)
    try:
        syns = Syns(arguments.to, arguments.sources, arguments.mptcp, Random(arguments.seed))
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.connect((arguments.to.host, 0))
            flood.run(iter(syns), raw.send)
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.flood", error)
    print(json.dumps(flood.report()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
