"""What a capture does not show, or shows twice, is said; joins that were refused are no subflows."""

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import sequences
from analysis.capture_file import UnreadableFile
from analysis.sequences import pcap, sources
from mptcp_stack.sim import MILLISECOND
from mptcp_stack.wire import Packet, Segment, decode
from tests.analysis.test_sequences import captured
from tests.sim.scenes import Scene, exchange, impaired, make_scene, rewrite, without_mptcp

TWO_PATHS = (impaired(), impaired(delay_ns=30 * MILLISECOND))
BYTES = bytes(200_000)


def scene(**settings: object) -> Scene:
    made = make_scene(5, TWO_PATHS, **settings)  # type: ignore[arg-type]
    exchange(made, BYTES, b"")
    return made


@pytest.fixture(scope="module")
def usual() -> Scene:
    return scene()


def only(file: Path) -> pcap.CapturedConnection:
    (found,) = pcap.connections([file])
    return found


def strip(segment: Segment) -> bool:
    without_mptcp(segment)
    return True


REFUSED = {
    "limit": ({"server": {"max_subflows": 1}}, "reset by 10.0.2.102:80, who was asked", "MP_TCPRST: "),
    "stripped": (
        {"middlebox": (None, rewrite(strip))},
        "reset by 10.0.2.101:",
        "who asked to join, the SYN/ACK was without MP_JOIN",
    ),
    "dead": ({"middlebox": (None, lambda _: [])}, "SYNs with MP_JOIN were not answered", ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_join_is_no_subflow(tmp_path: Path, kind: str) -> None:
    settings, *words = REFUSED[kind]
    found = only(captured(scene(**settings), tmp_path / "refused.pcap"))
    assert len(found.subflows) == 1
    assert len(found.marks("client")) > 10
    notes = [note for note in found.notes if note.startswith("no subflow, 10.0.2.101:")]
    assert notes
    assert all(word in note for word in words for note in notes)


def test_a_join_that_was_accepted_and_never_used_is_a_subflow(tmp_path: Path, usual: Scene) -> None:
    second = [record.packet for record in usual.network.trace if record.packet[14] == 2]
    handshake = second[:4]
    assert [decode(Packet([packet])).length for packet in handshake] == [0] * 4
    file = captured(usual, tmp_path / "idle.pcap", lambda packet: packet[14] == 1 or packet in handshake)
    assert len(only(file).subflows) == 2
    (refused,) = pcap.connections(
        [captured(usual, tmp_path / "three.pcap", lambda packet: packet[14] == 1 or packet in handshake[:1])]
    )
    assert len(refused.subflows) == 1


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_packed_captures_are_read_as_they_are(tmp_path: Path, usual: Scene, pack: Callable[[bytes], bytes]) -> None:
    plain = captured(usual, tmp_path / "plain.pcap")
    packed = tmp_path / "packed.pcap.some"
    packed.write_bytes(pack(plain.read_bytes()))
    assert only(packed).marks("client").equals(only(plain).marks("client"))
    assert only(packed).notes == []


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_file_that_ends_early_is_said(tmp_path: Path, usual: Scene, pack: Callable[[bytes], bytes]) -> None:
    plain = captured(usual, tmp_path / "plain.pcap")
    packed = tmp_path / "packed.pcap"
    packed.write_bytes(pack(plain.read_bytes())[:-500])
    assert any("ends in the middle of a packet, or is damaged" in note for note in only(packed).notes)


@pytest.mark.parametrize("missing", [1, 7, 40])
def test_a_file_that_ends_early_is_said(tmp_path: Path, usual: Scene, missing: int) -> None:
    file = captured(usual, tmp_path / "torn.pcap")
    file.write_bytes(file.read_bytes()[:-missing])
    assert only(file).notes == [f"{file}: ends in the middle of a packet, or is damaged: what follows is missing"]


def cut(made: Scene, path: Path, size: int) -> Path:
    """A capture of Ethernet frames of which so many bytes were kept."""
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, size, 1))
    with path.open("ab") as file:
        for record in made.network.trace:
            frame = bytes(12) + b"\x08\x00" + record.packet
            file.write(struct.pack("<IIII", *divmod(record.time_ns, 10**9), len(frame[:size]), len(frame)))
            file.write(frame[:size])
    return path


def test_packets_that_were_cut_too_short_are_said(tmp_path: Path, usual: Scene) -> None:
    assert only(cut(usual, tmp_path / "160.pcap", 160)).notes == []
    for size in (30, 54):
        with pytest.raises(sequences.NoConnection, match=r"\d+ packets cut too short by the capture"):
            pcap.connections([cut(usual, tmp_path / "short.pcap", size)])


def udp(port: int) -> bytes:
    return bytes((0x45,)) + bytes(8) + b"\x11" + bytes(10) + struct.pack("!HHHH", 4000, port, 8, 0)


ENCAPSULATED = {
    "GRE": (b"\x08\x00", bytes((0x45,)) + bytes(8) + b"\x2f" + bytes(14)),
    "IPv6 in IP": (b"\x08\x00", bytes((0x45,)) + bytes(8) + b"\x29" + bytes(14)),
    "VXLAN": (b"\x08\x00", udp(4789)),
    "Geneve": (b"\x81\x00\x00\x05\x08\x00", udp(6081)),
    "MPLS": (b"\x88\x47", bytes(20)),
    "PPPoE": (b"\x88\x64", bytes(20)),
    "an IPv6 extension header": (b"\x86\xdd", bytes((0x60,)) + bytes(5) + b"\x3c" + bytes(33) + b"\x06" + bytes(7)),
}


@pytest.mark.parametrize("name", ENCAPSULATED)
def test_encapsulations_are_named(tmp_path: Path, usual: Scene, name: str) -> None:
    kind, packet = ENCAPSULATED[name]
    frame = bytes(12) + kind + packet + usual.network.trace[0].packet
    file = cut(usual, tmp_path / "mixed.pcap", 200)
    with file.open("ab") as more:
        more.write(struct.pack("<IIII", 9, 0, len(frame), len(frame)) + frame)
    assert only(file).notes == [f"1 packet in {name} left out: only IP that the link itself carries is looked into"]


MULTICAST_LISTENER = (b"\x86\xdd", bytes((0x60,)) + bytes(39) + b"\x3a" + bytes(7))


def test_what_is_no_tcp_needs_no_word(tmp_path: Path, usual: Scene) -> None:
    file = cut(usual, tmp_path / "names.pcap", 200)
    with file.open("ab") as more:
        for kind, packet in ((b"\x08\x00", udp(53)), (b"\x08\x06", bytes(28)), MULTICAST_LISTENER):
            frame = bytes(12) + kind + packet
            more.write(struct.pack("<IIII", 9, 0, len(frame), len(frame)) + frame)
    assert only(file).notes == []


def test_packets_that_are_there_twice_are_said(tmp_path: Path, usual: Scene) -> None:
    file = captured(usual, tmp_path / "once.pcap")
    (found,) = pcap.connections([file, file])
    assert any("segments are there twice and count as retransmitted" in note for note in found.notes)
    assert only(file).notes == []


def test_what_was_sent_again_is_not_there_twice(tmp_path: Path) -> None:
    lossy = make_scene(5, (impaired(loss=0.1), impaired(loss=0.1)))
    exchange(lossy, bytes(200_000), b"")
    found = only(captured(lossy, tmp_path / "lossy.pcap"))
    assert "retransmitted" in set(found.marks("client")["kind"])
    assert not [note for note in found.notes if "twice" in note]


def test_a_directory_among_files_is_said(tmp_path: Path, usual: Scene) -> None:
    with pytest.raises(UnreadableFile, match="a directory: give capture files, or the directory of one point alone"):
        sources.load([captured(usual, tmp_path / "one.pcap"), tmp_path])


def test_what_cannot_be_unpacked_here_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    with pytest.raises(UnreadableFile, match="packed with zstd: unpack it first"):
        pcap.connections([tmp_path / "x.zst"])
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(100))[:-30])
    with pytest.raises(UnreadableFile, match=r"neither pcap nor pcapng|cannot be unpacked"):
        pcap.connections([tmp_path / "x.gz"])
