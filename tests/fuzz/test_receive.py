"""Hostile packets between the honest ones of live connections: the stacks count them, stay up and stay small.

Valid conversations run in the simulator. A hostile party on the path copies what it sees, changes the copies in
every way it knows, with checksums made right again, and slips them in. Whatever becomes of the conversations under
attack, a stack must not raise, must not grow, and must serve a fresh connection afterwards.

More of them: `python -m tests.fuzz.test_receive PACKETS [SEED]` with settings drawn anew every few thousand packets;
it prints what fails, how many packets there were and how much memory was used.
"""

import resource
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from mptcp_stack.ip_reassembly import MAX_HELD_BYTES
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Echo, Source, pattern
from mptcp_stack.stack import Stack
from mptcp_stack.storage import Reassembly
from mptcp_stack.tcp import Address, Endpoint
from mptcp_stack.wire import Packet, WireError, decode
from mptcp_stack.wire.checksum import checksum
from tests.icmp import icmp_quoting
from tests.ip import DESTINATION, HOP_BY_HOP, part, parts, with_extension
from tests.sim.scenes import PORT, Scene, check_received, come_to_rest, impaired, make_scene
from tests.sim.settings import random_settings

TCP_BYTES, PROTOCOL_TCP = 20, 6
STEP_NS = 2 * MILLISECOND
ICMP_SHARE = 0.03
PARTS_SHARE = 0.05
EXTENSION_SHARE = 0.05
ICMP_ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
BURST = 3
"""Hostile packets in each step of virtual time."""
LARGE_BURST = 20
REMEMBERED = 400
PACKETS = 4000
"""Hostile packets in all, each test."""
BUFFER_BYTES = 1 << 16
BACKLOG = 32
CONVERSATION_NS = 60 * MILLISECOND
"""After so long another one begins."""

Mutation = Callable[[bytearray, Random], None]
"""Changes a packet in place."""


def ip_bytes(packet: bytes | bytearray) -> int:
    """Length of the IP header."""
    return 20 if packet[0] >> 4 == 4 else 40


def destination(packet: bytes | bytearray) -> bytes:
    return bytes(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])


def source(packet: bytes | bytearray) -> bytes:
    return bytes(packet[12:16] if packet[0] >> 4 == 4 else packet[8:24])


def repair(packet: bytearray) -> bytes:
    """Make lengths and checksums right, so that a change is not noticed by them."""
    start = ip_bytes(packet)
    if start == 20:
        packet[2:4] = len(packet).to_bytes(2, "big")
        packet[10:12] = bytes(2)
        packet[10:12] = checksum([packet[:start]]).to_bytes(2, "big")
    else:
        packet[4:6] = (len(packet) - start).to_bytes(2, "big")
    if len(packet) >= start + TCP_BYTES:
        segment = memoryview(packet)[start:]
        segment[16:18] = bytes(2)
        pseudo = (
            source(packet) + destination(packet) + PROTOCOL_TCP.to_bytes(2, "big") + len(segment).to_bytes(2, "big")
        )
        segment[16:18] = checksum([pseudo, segment]).to_bytes(2, "big")
    return bytes(packet)


# --- changes. The IP header stays as it is, so that the packets find their stack; wire has its own tests.


def flip_bits(packet: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 2, 8))):
        packet[random.randrange(ip_bytes(packet), len(packet))] ^= 1 << random.randrange(8)


def flip_header_bits(packet: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 2, 4))):
        packet[random.randrange(ip_bytes(packet), header_end(packet))] ^= 1 << random.randrange(8)


def truncate(packet: bytearray, random: Random) -> None:
    del packet[random.randrange(ip_bytes(packet), len(packet)) :]


def lie_about_options(packet: bytearray, random: Random) -> None:
    starts = option_starts(packet)
    if starts:
        packet[random.choice(starts) + 1] = random.choice((0, 1, 2, 3, 4, 12, 40, 255, random.randrange(256)))


def duplicate_option(packet: bytearray, random: Random) -> None:
    """Repeat an option over another one of its length, or after all others."""
    starts = option_starts(packet)
    if not starts:
        return
    start = random.choice(starts)
    option = packet[start : start + packet[start + 1]]
    option += bytes([1]) * (-len(option) % 4)
    end = header_end(packet)
    words = (packet[ip_bytes(packet) + 12] >> 4) + len(option) // 4
    if words < 16:
        packet[end:end] = option
        packet[ip_bytes(packet) + 12] = words << 4


def set_flags(packet: bytearray, random: Random) -> None:
    packet[ip_bytes(packet) + 13] = random.randrange(256)


def set_sequence(packet: bytearray, random: Random) -> None:
    move(packet, 4, random)


def set_acknowledgement(packet: bytearray, random: Random) -> None:
    move(packet, 8, random)


def set_window(packet: bytearray, random: Random) -> None:
    packet[ip_bytes(packet) + 14 : ip_bytes(packet) + 16] = random.choice(
        (b"\0\0", b"\xff\xff", b"\0\1", random.randbytes(2))
    )


def set_port(packet: bytearray, random: Random) -> None:
    packet[ip_bytes(packet) : ip_bytes(packet) + 2] = random.randbytes(2)


def fill_options(packet: bytearray, random: Random) -> None:
    """Bytes without a meaning, or MPTCP options that are not whole, in place of the options."""
    end = header_end(packet)
    noise = random.randbytes(end - ip_bytes(packet) - TCP_BYTES)
    if random.random() < 0.7 and len(noise) > 4:
        noise = bytes((30, random.choice((4, 8, 12, 20, len(noise))), random.randrange(9) << 4)) + noise[3:]
    packet[ip_bytes(packet) + TCP_BYTES : end] = noise


def change_nothing(packet: bytearray, random: Random) -> None:
    """A repetition."""


def several(packet: bytearray, random: Random) -> None:
    for _ in range(3):
        random.choice(MUTATIONS[:-1])(packet, random)
        if len(packet) < ip_bytes(packet) + TCP_BYTES:
            return


MUTATIONS: list[Mutation] = [
    flip_bits, flip_header_bits, truncate, lie_about_options, duplicate_option, set_flags, set_sequence,
    set_acknowledgement, set_window, set_port, fill_options, change_nothing, several,
]  # fmt: skip


def move(packet: bytearray, at: int, random: Random) -> None:
    """Change a sequence number a little or a lot."""
    field = slice(ip_bytes(packet) + at, ip_bytes(packet) + at + 4)
    distance = random.choice((1, 1400, 1 << 14, 1 << 17, 1 << 31, random.randrange(1 << 32))) * random.choice((1, -1))
    packet[field] = ((int.from_bytes(packet[field], "big") + distance) % (1 << 32)).to_bytes(4, "big")


def header_end(packet: bytearray) -> int:
    return min(ip_bytes(packet) + max((packet[ip_bytes(packet) + 12] >> 4) * 4, TCP_BYTES), len(packet))


def option_starts(packet: bytearray) -> list[int]:
    """Where options longer than a byte begin, as far as they make sense."""
    starts = []
    at, end = ip_bytes(packet) + TCP_BYTES, header_end(packet)
    while at + 1 < end:
        if packet[at] < 2:
            at += 1
            continue
        starts.append(at)
        at += max(packet[at + 1], 2)
    return starts


class Attacker:
    """Delivers changed copies of what was sent, new and old, to the host it was meant for."""

    def __init__(self, scene: Scene, seed: int, burst: int = BURST) -> None:
        self._scene = scene
        self._burst = burst
        self._random = Random(seed)
        self._seen = 0
        self.sent = self.malformed = 0

    def strike(self) -> None:
        """Send a burst made of packets sent since the last time, and of older ones."""
        trace = self._scene.network.trace
        fresh, self._seen = trace[self._seen :], len(trace)
        for _ in range(self._burst if trace else 0):
            pool = fresh if fresh and self._random.random() < 0.7 else trace[-REMEMBERED:]
            self._deliver(self._random.choice(pool).packet)

    def _deliver(self, packet: bytes) -> None:
        changed = bytearray(packet)
        self._random.choice(MUTATIONS)(changed, self._random)
        hostile = repair(changed)
        self.malformed += not is_well_formed(hostile)
        if self._random.random() < ICMP_SHARE:
            self._hand(self._error_about(packet))
        if hostile[0] >> 4 == 6 and self._random.random() < EXTENSION_SHARE:
            hostile = with_extension(hostile, self._random.choice((HOP_BY_HOP, DESTINATION)))
        self._hand(*(self._in_parts(hostile) if self._random.random() < PARTS_SHARE else (hostile,)))

    def _in_parts(self, hostile: bytes) -> list[bytes]:
        """A packet cut by a router, in any order and with copies, among parts that never become whole."""
        random = self._random
        length = len(hostile) - ip_bytes(hostile)
        ident = random.randrange(1 << 16)
        places = range(8, length, 8)
        cuts = sorted(random.sample(places, min(random.randrange(1, 6), len(places))))
        if not cuts:
            return [hostile]
        given = parts(hostile, *cuts, ident=ident)
        for _ in range(random.randrange(4)):
            start = random.randrange(8, 2000, 8)
            end = start + random.choice((0, 1, 8, 100, 1480))
            given.append(part(hostile + bytes(4000), start, end, random.random() < 0.9, random.randrange(20)))
        given += random.sample(given, 1)
        random.shuffle(given)
        return given

    def _error_about(self, packet: bytes) -> bytes:
        """What a router might say about a packet to its sender, changed a little or not."""
        kinds = ICMP_ERRORS[packet[0] >> 4]
        there = source(packet)
        quoted = self._random.choice((None, 0, 7, 8, 20, 60))
        rest = self._random.choice((0, 68, 576, 1280, 1400, self._random.randrange(1 << 32)))
        error = icmp_quoting(destination(packet), packet, self._random.choice(kinds), self._random.randrange(16), rest,
                             quoted, there)  # fmt: skip
        if self._random.random() < 0.5:
            return error
        changed = bytearray(error)
        changed[self._random.randrange(ip_bytes(changed) + 8, len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _hand(self, *hostile: bytes) -> None:
        self.sent += len(hostile)
        host = self._scene.client if destination(hostile[0])[-1] == 101 else self._scene.server
        host.stack.receive([Packet([packet]) for packet in hostile], self._scene.network.clock.now_ns)
        host.settle()


def is_well_formed(packet: bytes) -> bool:
    try:
        decode(Packet([packet]))
    except WireError:
        return False
    return True


# --- what must hold


def check_bounds(stack: Stack, connections: int) -> None:
    """Nothing in a stack grows with what a peer sends beyond what was offered to it."""
    assert len(stack.connections) <= connections
    assert len(stack._tokens) <= connections
    endpoints = [flow for flow in stack._flows.values() if type(flow) is Endpoint]
    assert len(endpoints) <= connections * stack.config.max_subflows
    for endpoint in endpoints:
        check_reassembly(endpoint.receiver.reassembly)
    for table in stack._reassembly._tables.values():
        assert table._cost_bytes == sum(incomplete.cost_bytes for incomplete in table._packets.values())
        assert table._cost_bytes <= MAX_HELD_BYTES
    for connection in stack.connections:
        assert len(connection.subflows) <= stack.config.max_subflows
        assert connection.receiving.queue.length <= 2 * BUFFER_BYTES
        check_reassembly(connection.receiving._reassembly)
        assert len(connection.announcements.received) <= 256
        assert len(connection.signals._waiting) <= 256
        assert len(connection.sending._reinjections) <= 256
        for subflow in connection.subflows:
            assert len(subflow._inbound._mappings) <= BUFFER_BYTES
            checking = getattr(subflow._inbound, "_checking", None)
            assert checking is None or len(checking._mappings) <= BUFFER_BYTES


def check_reassembly(reassembly: Reassembly) -> None:
    assert reassembly.held_bytes == sum(end - start for start, end in reassembly.ranges)
    assert reassembly.held_bytes <= 2 * BUFFER_BYTES


# --- the conversations


class Stubborn(Application):
    """Does not mind when its connection fails."""

    def _flush(self) -> None:
        with suppress(OSError):
            super()._flush()


class StubbornEcho(Stubborn, Echo):
    pass


class StubbornSource(Stubborn, Source):
    pass


SCENES: dict[str, dict[str, Any]] = {
    "tcp": {"mptcp": False},
    "mptcp": {"mptcp": True},
    "no sack, no timestamps": {"mptcp": True, "sack": False, "timestamps": False},
    "checksums": {"mptcp": True, "dss_checksum": True},
    "version 0, cookies": {"mptcp": True, "mptcp_version": 0, "mptcp_minimum_version": 0, "syn_cookies": "always"},
}
FAMILIES: dict[str, tuple[int, ...]] = {"v4": (4, 4), "v6": (6, 6), "v4+v6": (4, 6), "v6+v4": (6, 4)}
"""The version of IP on either path."""
CASES = [
    (kind, family, seed)
    for seed, families in ((1, ("v4", "v6+v4")), (2, ("v6", "v4+v6")))
    for kind, family in zip(SCENES, families * len(SCENES), strict=False)
]  # fmt: skip


def attacked_scene(settings: dict[str, Any], versions: tuple[int, ...], seed: int) -> Scene:
    path = impaired(loss=0.01, reorder=0.05, reorder_extra_ns=5 * MILLISECOND)
    bounds = {
        "receive_buffer_bytes": BUFFER_BYTES, "send_buffer_bytes": BUFFER_BYTES, "time_wait_ns": SECOND,
        "fin_timeout_ns": SECOND, "syn_retries": 2, "data_retries": 4,
    }  # fmt: skip
    return make_scene(seed, [path] * 2, versions=versions, **{**settings, **bounds})


def server_of(scene: Scene) -> Address:
    return Address(scene.server.stack.addresses[0].ip, PORT)


def attack(scene: Scene, seed: int, burst: int = BURST) -> Attacker:
    """Conversations one after the other, overlapping, until the attacker has sent its packets."""
    attacker = Attacker(scene, seed, burst)
    started = 0
    clock = scene.network.clock
    while attacker.sent < PACKETS:
        if clock.now_ns >= started * CONVERSATION_NS:
            started += 1
            scene.client.connect(server_of(scene), StubbornSource(pattern(40_000, started)))
        scene.network.run_for(STEP_NS)
        attacker.strike()
        for host in (scene.client, scene.server):
            check_bounds(host.stack, started + BACKLOG)
    return attacker


@pytest.mark.parametrize(("kind", "family", "seed"), CASES)
def test_stacks_withstand_an_attacker_on_the_path(kind: str, family: str, seed: int) -> None:
    scene = attacked_scene(SCENES[kind], FAMILIES[family], seed)
    scene.server.listen(Address(b"", PORT), StubbornEcho, backlog=BACKLOG)
    attacker = attack(scene, seed)
    assert attacker.sent >= PACKETS
    assert attacker.malformed > PACKETS // 50
    counted = sum(host.stack.counters["TcpInErrs"] for host in (scene.client, scene.server))
    assert counted == attacker.malformed
    before = len(scene.network.trace)
    scene.network.run_for(60 * SECOND)  # half-open connections come to their end
    assert len(scene.network.trace) - before < 5000  # no two ends answer each other for ever
    fresh = Source(pattern(100_000, seed))
    scene.client.connect(server_of(scene), fresh)
    limit_ns = scene.network.clock.now_ns + 30 * SECOND
    scene.network.run_until(lambda: fresh.closed, limit_ns)
    assert fresh.error is None
    check_received(scene, fresh, fresh.payload)
    assert fresh.connection.is_mptcp == (kind != "tcp")
    for connection in (*scene.client.stack.connections, *scene.server.stack.connections):
        connection.abort()
    for host in (scene.client, scene.server):
        host.settle()
    # An ICMP error may have set the timer after which a larger MTU is tried, 10 minutes (RFC 1191 section 6.3).
    come_to_rest(scene, 700 * SECOND)


def main() -> None:
    packets = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    sent = failed = 0
    while sent < packets:
        settings = random_settings(Random(seed))
        family = list(FAMILIES)[seed % len(FAMILIES)]
        scene = attacked_scene(settings, FAMILIES[family], seed)
        scene.server.listen(Address(b"", PORT), StubbornEcho, backlog=BACKLOG)
        try:
            attacker = attack(scene, seed, LARGE_BURST)
            sent += attacker.sent
        except Exception:
            failed += 1
            print(f"seed {seed}, {family}: {settings}", flush=True)
            traceback.print_exc(limit=-4)
        seed += 1
    peak_megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{sent} hostile packets, {failed} failures, last seed {seed - 1}, peak memory {peak_megabytes} MB")


if __name__ == "__main__":
    main()
