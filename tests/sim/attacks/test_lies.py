"""Segments whose parts contradict each other, or what came before."""

import pytest

from mptcp_stack.sim import SECOND
from mptcp_stack.wire import FIN, Packet, complete, encode
from mptcp_stack.wire.checksum import checksum
from tests.sim.attacks.hostile import application_of, connected, forge, still_works, strike, victim_of
from tests.sim.scenes import Scene

IP_BYTES, TCP_BYTES = 20, 20


def with_options(scene: Scene, raw: bytes) -> bytes:
    """A segment that would be fine but for its options; its checksums are right."""
    segment = forge(victim_of(scene.server).subflows[0], b"data")
    segment.options.ts_val = None
    packet = bytearray(complete(encode(segment)))
    raw += bytes(-len(raw) % 4)
    packet[IP_BYTES + TCP_BYTES : IP_BYTES + TCP_BYTES] = raw
    packet[2:4] = len(packet).to_bytes(2, "big")
    packet[IP_BYTES + 12] = (TCP_BYTES + len(raw)) // 4 << 4
    packet[10:12] = packet[IP_BYTES + 16 : IP_BYTES + 18] = bytes(2)
    packet[10:12] = checksum([packet[:IP_BYTES]]).to_bytes(2, "big")
    pseudo = bytes(packet[12:20]) + bytes([0, 6]) + (len(packet) - IP_BYTES).to_bytes(2, "big")
    packet[IP_BYTES + 16 : IP_BYTES + 18] = checksum([pseudo, packet[IP_BYTES:]]).to_bytes(2, "big")
    return bytes(packet)


LYING_OPTIONS = {
    "length 0": b"\x08\x00",
    "length 1": b"\x08\x01",
    "beyond the header": b"\x08\x28",
    "no length at all": b"\x01\x01\x01\x08",
    "timestamps too short": b"\x08\x06\0\0\0\0",
    "timestamps too long": b"\x08\x0c" + bytes(10),
    "half a SACK block": b"\x05\x06\0\0\0\0",
    "MSS of one byte": b"\x02\x03\x05",
    "MPTCP without a subtype": b"\x1e\x02",
    "DSS shorter than its flags": b"\x1e\x04\x20\x0f",
    "DSS longer than its flags": b"\x1e\x10\x20\x01" + bytes(12),
    "MP_JOIN of no form": b"\x1e\x07\x10\0\0\0\0",
    "MP_CAPABLE of no form": b"\x1e\x08\x01\x01" + bytes(4),
    "ADD_ADDR of no form": b"\x1e\x0b\x30\x01" + bytes(7),
    "MP_FASTCLOSE without its key": b"\x1e\x04\x70\0",
    "REMOVE_ADDR of nothing": b"\x1e\x03\x40",
}


@pytest.mark.parametrize("raw", LYING_OPTIONS.values(), ids=LYING_OPTIONS)
@pytest.mark.parametrize("mptcp", [True, False], ids=["mptcp", "tcp"])
def test_option_lengths_that_lie(mptcp: bool, raw: bytes) -> None:
    """The segment is counted and dropped, as if its checksum were wrong."""
    scene = connected(mptcp=mptcp)
    packet = with_options(scene, raw)
    before = len(scene.network.trace)
    scene.server.stack.receive([Packet([packet])], scene.network.clock.now_ns)
    scene.server.settle()
    assert scene.server.stack.counters["TcpInErrs"] == 1
    assert len(scene.network.trace) == before
    assert not application_of(scene.server).received
    still_works(scene)


def test_bytes_that_came_first_stay() -> None:
    """Overlaps in TCP (RFC 9293 leaves it open): a copy of other content changes nothing, held or delivered."""
    scene = connected(1, mptcp=False)
    (subflow,) = victim_of(scene.server).subflows
    seq = forge(subflow).seq
    later, covering = forge(subflow, b"BBBB", seq=seq + 4), forge(subflow, b"aaaaXXXXcccc")
    over_all = forge(subflow, b"zzzzzzzzzzzzz", seq=seq)
    strike(scene, scene.server, later, forge(subflow, b"YY", seq=seq + 5), covering, over_all)
    assert bytes(application_of(scene.server).received) == b"aaaaBBBBccccz"


def test_end_of_data_from_beyond_the_window_is_not_remembered() -> None:
    scene = connected(1, mptcp=False)
    (subflow,) = victim_of(scene.server).subflows
    seq = forge(subflow).seq
    for offset in (-1, 8 << 20, 1 << 31):
        strike(scene, scene.server, forge(subflow, seq=seq + offset, flags=FIN | 16))
    assert not application_of(scene.server).eof
    still_works(scene)


@pytest.mark.parametrize("echo", [0, 1, 1 << 31, (1 << 32) - 1])
def test_echoes_of_timestamps_that_were_never_sent(echo: int) -> None:
    """A round trip that is not one neither stops the timers nor the sender."""
    scene = connected(1, mptcp=False)
    application_of(scene.server).write(bytes(100_000))
    scene.server.settle()
    (subflow,) = victim_of(scene.server).subflows
    segment = forge(subflow, ack=subflow.endpoint.sender.scoreboard.una + 1000)
    segment.options.ts_ecr = echo
    strike(scene, scene.server, segment)
    assert subflow.endpoint.sender.rtt.rto_ns <= 3 * SECOND
    scene.network.run_for(20 * SECOND)
    assert len(application_of(scene.client).received) == 100_000
