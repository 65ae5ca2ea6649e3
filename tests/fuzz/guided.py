"""Coverage-guided fuzzing of a stack's whole `receive` path, from recorded conversations.

    pip install atheris    # not among the dependencies
    python -m tests.fuzz.guided -max_total_time=600 -len_control=0 -max_len=400 CORPUS_FOLDER

An input is a recipe: which conversation, how much of it arrives as it was, which of its packets follow with which
changes, and when. The stack has the seed and the times of the one that was recorded, so that sequence numbers, keys and
HMACs fit.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any

from mptcp_stack.events import Readable
from mptcp_stack.sim import MILLISECOND, SECOND, pattern
from mptcp_stack.stack import LocalAddress, Stack, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Packet
from tests.fuzz.test_receive import (
    BUFFER_BYTES,
    FAMILIES,
    SCENES,
    TCP_BYTES,
    StubbornEcho,
    StubbornSource,
    check_bounds,
    header_end,
    ip_bytes,
    repair,
)
from tests.sim.scenes import PATH, PORT, make_scene, server_ip

SEED = 7
EDITS = 24
KINDS = [(settings, versions) for settings in SCENES.values() for versions in FAMILIES.values()]
LIMITS: dict[str, Any] = {"receive_buffer_bytes": BUFFER_BYTES, "send_buffer_bytes": BUFFER_BYTES}


class Recipe:
    """Numbers and bytes out of an input; zeros after its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """So many bytes, or what is left."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def below(self, limit: int) -> int:
        """A number from 0 on, less than `limit`, of one byte."""
        return int.from_bytes(self.take(1), "big") % limit


@cache
def recorded(kind: int) -> list[tuple[int, bytes]]:
    """When what arrived at the server of a conversation."""
    settings, versions = KINDS[kind]
    scene = make_scene(SEED, [PATH] * 2, versions=versions, **{**settings, **LIMITS})
    arrived: list[tuple[int, bytes]] = []
    receive = scene.server.stack.receive

    def listen_in(packets: Iterable[Packet], now: int) -> None:
        packets = list(packets)
        arrived.extend((now, bytes(packet.parts[0])) for packet in packets)
        receive(packets, now)

    scene.server.stack.receive = listen_in  # type: ignore[method-assign]
    scene.server.listen(Address(b"", PORT), StubbornEcho)
    scene.client.connect(Address(server_ip(1, versions[0]), PORT), StubbornSource(pattern(20_000, 1)))
    scene.network.run_for(3 * SECOND)
    return arrived


def change(packet: bytes, recipe: Recipe) -> bytes:
    """A packet with a few changes behind its IP header, and right checksums."""
    changed = bytearray(packet)
    start = ip_bytes(changed)
    for _ in range(recipe.below(5)):
        if len(changed) < start + TCP_BYTES:
            break
        at = start + recipe.below(len(changed) - start)
        match recipe.below(4):
            case 0:
                changed[at : at + 1] = recipe.take(1)
            case 1:
                changed[at : at + 4] = recipe.take(4)
            case 2:
                options = recipe.take(recipe.below(41))
                options += bytes([1]) * (-len(options) % 4)
                changed[start + TCP_BYTES : header_end(changed)] = options
                changed[start + 12] = changed[start + 12] & 15 | (5 + len(options) // 4) << 4
            case _:
                del changed[at:]
    return repair(changed)


def deliver(stack: Stack, packet: bytes, now: int) -> None:
    """Let a packet arrive, and an application echo what can be read then."""
    stack.receive([Packet([packet])], now)
    while (event := stack.next_event()) is not None:
        if isinstance(event, Readable):
            with suppress(OSError):
                event.connection.send(b"".join(event.connection.receive()))
                if event.connection.eof:
                    event.connection.close()
    stack.transmit(now)


def run(data: bytes) -> None:
    """Carry out a recipe; whatever it is, nothing is raised and the stack stays small."""
    recipe = Recipe(data)
    kind = recipe.below(len(KINDS))
    settings, versions = KINDS[kind]
    ips = [server_ip(path, version) for path, version in enumerate(versions, 1)]
    addresses = tuple(LocalAddress(ip, 24 if len(ip) == 4 else 64) for ip in ips)
    stack = Stack(StackConfig(addresses=addresses, **{**settings, **LIMITS}), Random(f"{SEED}/host/server"))
    stack.listen(Address(b"", PORT), 0)
    packets = recorded(kind)
    now = 0
    for now, packet in packets[: 1 + recipe.below(EDITS)]:
        deliver(stack, packet, now)
    for _ in range(EDITS):
        if not recipe:
            break
        now += recipe.below(6) * 100 * MILLISECOND
        stack.handle_timers(now)
        _, packet = packets[recipe.below(min(len(packets), 2 * EDITS))]
        deliver(stack, change(packet, recipe), now)
    check_bounds(stack, EDITS)


if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found]

    atheris.instrument_all()
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
