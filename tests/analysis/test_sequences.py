"""Time-sequence figures: relative numbers of captures and events, against what was sent and against each other."""

import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from analysis import sequences
from analysis.collected import UnreadableFile
from analysis.collected.events import parse as parse_events
from analysis.collected.files import Collected
from analysis.figures import time_sequence
from analysis.sequence_numbers import Mappings, Ranges, unwrap
from analysis.sequences import events, pcap, sources
from mptcp_stack import observe
from mptcp_stack.phy.pcap import PcapWriter
from mptcp_stack.sim import MILLISECOND, SECOND, Source, TraceRecord
from mptcp_stack.wire import ACK, SYN, Dss, MpCapable, MptcpOption, Options, Packet, Segment, complete, decode, encode
from tests.sim.scenes import SERVER, UPLOAD, Scene, exchange, impaired, make_scene, rewrite, without_mptcp

DATA = Path(__file__).parent / "data"
KERNEL = DATA / "collected" / "kernel-mptcp"


def captured(scene: Scene, path: Path, wanted: Callable[[bytes], bool] = lambda _: True) -> Path:
    """The packets of a run as their hosts sent them."""
    with PcapWriter(path) as capture:
        for record in scene.network.trace:
            if wanted(record.packet):
                capture.write(record.time_ns, record.packet)
    return path


def of(marks: pd.DataFrame, *kinds: str) -> pd.DataFrame:
    return marks[marks["kind"].isin(kinds)]


def bytes_of(marks: pd.DataFrame, *kinds: str) -> set[tuple[int, int, int]]:
    """(subflow, ssn, dsn) of each byte."""
    return {
        (mark.subflow, mark.ssn + place, mark.dsn + place)
        for mark in of(marks, *kinds).itertuples()
        for place in range(mark.length_bytes)
    }


def segment(
    sent_by_client: bool,
    seq: int,
    ack: int,
    flags: int = ACK,
    *,
    length: int = 0,
    mptcp: MptcpOption | None = None,
    **options: object,
) -> Segment:
    """A segment between 10.0.0.1:1000 and 10.0.0.2:80, its window 10, its numbers modulo 2**32."""
    ends = [(bytes((10, 0, 0, 1)), 1000), (bytes((10, 0, 0, 2)), 80)]
    (source, source_port), (destination, destination_port) = ends if sent_by_client else ends[::-1]
    made = Segment(source, destination, source_port, destination_port, seq % 2**32, ack % 2**32, flags, 10)
    made.options = Options(mptcp=(mptcp,) if mptcp else (), **options)
    made.payload, made.length = [memoryview(bytes(length))], length
    return made


def written(segments: list[Segment], path: Path) -> Path:
    with PcapWriter(path) as capture:
        for at_ns, one in enumerate(segments):
            capture.write(at_ns, complete(encode(one)))
    return path


SLOW = impaired(delay_ns=60 * MILLISECOND, loss=0.1)
SCENES = {
    "64-bit": {},
    "32-bit": {"dsn_bits": 32},
    "IPv4 and IPv6": {"versions": (4, 6)},
    "super-segments": {"coalesce_ns": 2 * MILLISECOND},
    "checksums": {"dss_checksum": True},
    "version 0": {"mptcp_version": 0, "mptcp_minimum_version": 0},
}


SEEDS = {"checksums": 14, "super-segments": 34}
"""Where it is not 8: with these, chance brings everything that there is to see."""


@pytest.mark.parametrize("name", SCENES)
def test_packets_say_what_the_stack_says(name: str, tmp_path: Path) -> None:
    """Every byte has the place that the sender's stack gave it; sent again means the same to both."""
    settings = SCENES[name]
    scene = make_scene(SEEDS.get(name, 8), (impaired(loss=0.03), SLOW), **settings)
    lines: list[str] = []
    scene.client.stack.observe(lambda observation: lines.append(observe.as_json(observation)))
    exchange(scene, UPLOAD, b"")
    (tmp_path / "events-client.jsonl").write_text("\n".join(lines))
    record = {"files": ["events-client.jsonl"]}
    frame = parse_events(Collected(tmp_path, "events", {"collectors": {"events": record}, "workload": {"began_ns": 0}}))

    (seen,) = pcap.connections([captured(scene, tmp_path / "sim.pcap")])
    (told,) = events.connections(frame)
    assert seen.tokens["client"] == told.tokens["client"]
    assert seen.subflows == told.subflows
    assert len(seen.subflows) == 2
    assert seen.sent_bytes["client"] == told.sent_bytes["client"] > len(UPLOAD)
    marks, expected = seen.marks("client"), told.marks("client")
    for kinds in (("data",), ("reinjected",), ("retransmitted",)):
        assert bytes_of(marks, *kinds) == bytes_of(expected, *kinds) != set(), kinds
    assert {dsn for _, _, dsn in bytes_of(marks, "data")} == set(range(1, len(UPLOAD) + 1))
    assert of(marks, "late").empty
    assert set(of(marks, "data fin")["dsn"]) == {len(UPLOAD) + 1}
    assert of(marks, "data ack")["dsn"].max() == of(expected, "data ack")["dsn"].max() == len(UPLOAD) + 2
    assert set(of(expected, "window")["dsn"]) <= set(of(marks, "window")["dsn"])
    assert of(marks, "ack").groupby("subflow")["ssn"].max().max() <= len(UPLOAD) + 2


def test_numbers_go_on_where_32_bits_end(tmp_path: Path) -> None:
    """4-byte numbers of data and of the subflow wrap after 69 and 20 bytes. What maps nothing says nothing."""
    key = (2371058).to_bytes(8, "big")
    initial = int.from_bytes(sha256(key).digest()[-8:], "big")
    isn = 2**32 - 20
    assert 2**32 - initial % 2**32 == 69
    peer_key = b"the peer"

    def mapping(ssn: int) -> Dss:
        return Dss(7, False, (initial + ssn) % 2**32, False, ssn, 100)

    def data_ack(number: int) -> Dss:
        return Dss((initial + number) % 2**32, False)

    segments = [
        segment(True, isn, 0, SYN, mptcp=MpCapable(1, 1), window_scale=3),
        segment(False, 0, isn + 1, SYN | ACK, mptcp=MpCapable(1, 1, peer_key), window_scale=7),
        segment(True, isn + 1, 1, mptcp=MpCapable(1, 1, key, peer_key)),
        segment(True, isn + 1, 1, length=100, dss=mapping(1)),
        segment(True, isn + 101, 1, dss=Dss(7, False, (initial + 900) % 2**32, False, 101, 0)),
        segment(True, isn + 101, 1, length=100, dss=mapping(101)),
        segment(False, 1, isn + 201, dss=data_ack(201)),
    ]
    path = written(segments, tmp_path / "wrap.pcap")
    (connection,) = pcap.connections([path])
    marks = connection.marks("client")
    assert list(of(marks, "data")[["ssn", "dsn", "length_bytes"]].itertuples(index=False, name=None)) == [
        (1, 1, 100),
        (101, 101, 100),
    ]
    assert list(of(marks, "ack")["ssn"])[-1] == 201
    assert list(of(marks, "data ack")["dsn"]) == [201]
    assert list(of(marks, "window")["dsn"])[-1] == 201 + (10 << 7)


def test_kernels_download_from_its_captures() -> None:
    source = sources.load([KERNEL])
    assert set(source.views) == {"client", "server"}
    connection, sender, _ = source.choose(None, None)
    assert sender == "server"
    at_server = pcap.connections(sorted(KERNEL.glob("collected/pcap-server-*")))[0]
    assert connection.began_s == at_server.began_s, "the sender's own captures"
    marks = connection.marks(sender)
    data = of(marks, *sequences.SENT)
    assert set(data["kind"]) == {"data"}
    assert (data["dsn"].min(), (data["dsn"] + data["length_bytes"]).max(), data["length_bytes"].sum()) == (
        1,
        60001,
        60000,
    )
    assert of(marks, "data ack")["dsn"].max() == 60002
    # What the kernel said of itself while the load ran.
    told = pd.read_json(KERNEL / "collected" / "mptcp-monitor.jsonl", lines=True)["text"].str.extract(r"token=(\w+)")[0]
    assert {f"{token:08x}" for token in connection.tokens.values()} >= set(told.dropna())


def test_kernels_reinjections() -> None:
    """Captured at the kernel that sent 90 kB, while its second path died; tshark finds the same four."""
    (connection,) = pcap.connections(sorted(DATA.glob("captures/kernel-server-*.pcap")))
    marks = connection.marks("server")
    reinjected = of(marks, "reinjected")
    assert list(reinjected["dsn"]) == [84789, 86209, 87629, 89049]
    assert set(reinjected["subflow"]) == {0}
    assert list(reinjected["length_bytes"]) == [1420, 1420, 1420, 952]
    assert {dsn for _, _, dsn in bytes_of(marks, "data")} == set(range(1, 90_001))
    assert set(of(marks, "data fin")["dsn"]) == {90_001}
    assert of(marks, "data ack")["dsn"].max() == 90_002
    last = of(marks, "retransmitted").iloc[-1]
    assert (last["subflow"], last["ssn"], last["dsn"]) == (1, 20277, 84789)


def test_interface_with_joined_subflows_only_counts_from_its_lowest(tmp_path: Path) -> None:
    scene = make_scene(5, (impaired(loss=0.03), SLOW))
    exchange(scene, UPLOAD, b"")
    (whole,) = pcap.connections([captured(scene, tmp_path / "all.pcap")])
    second = captured(scene, tmp_path / "second.pcap", lambda packet: packet[14] == 2)
    (part,) = pcap.connections([second])
    assert set(part.tokens.values()) == {whole.tokens["server"]}
    ours, theirs = (of(one.marks("client"), *sequences.SENT) for one in (part, whole))
    theirs = theirs[theirs["subflow"] == 1]
    assert list(ours["ssn"]) == list(theirs["ssn"])
    assert set(ours["dsn"] - theirs["dsn"].to_numpy()) == {1 - theirs["dsn"].min()}
    first = captured(scene, tmp_path / "first.pcap", lambda packet: packet[14] == 1)
    (merged,) = pcap.connections([second, first])
    assert merged.marks("client").equals(whole.marks("client"))


def test_beyond_the_loss_what_fills_a_hole_is_late(tmp_path: Path) -> None:
    full: list[bytes] = []

    def lossy(packet: bytes) -> list[bytes]:
        full.extend([packet] if len(packet) > 1000 else [])
        return [] if packet in full[12:14] else [packet]

    scene = make_scene(1, (impaired(),), middlebox=lossy)
    exchange(scene, UPLOAD[:50_000], b"")
    lost = full[12:14]
    (connection,) = pcap.connections([captured(scene, tmp_path / "after.pcap", lambda packet: packet not in lost)])
    marks = connection.marks("client")
    assert of(marks, "late")["length_bytes"].sum() == 2 * 1420
    assert of(marks, "retransmitted").empty


def test_fallback_in_the_handshake_is_no_connection(tmp_path: Path) -> None:
    def strip(segment: Segment) -> bool:
        without_mptcp(segment)
        return True

    scene = make_scene(1, middlebox=rewrite(strip))
    exchange(scene, b"x", b"y")
    path = captured(scene, tmp_path / "plain.pcap")
    with pytest.raises(
        sequences.NoConnection, match="no MPTCP connection; there are 1 TCP connections without MPTCP, 0"
    ):
        pcap.connections([path])
    headless = captured(scene, tmp_path / "headless.pcap", lambda packet: not packet[33] & SYN)
    with pytest.raises(sequences.NoConnection, match="0 TCP connections without MPTCP, 1 whose beginning is not in it"):
        pcap.connections([headless])


LOST = {
    "nothing": (lambda _: False, 2, []),
    "the SYN/ACK": (lambda one: one.flags == SYN | ACK and one.src[2] == 1, 2, ["subflow 0", "receive windows"]),
    "the SYN/ACK of the join": (lambda one: one.flags == SYN | ACK and one.src[2] == 2, 2, ["subflow 1", "windows"]),
    "the SYN of the join": (
        lambda one: one.flags == SYN and one.src[2] == 2,
        1,
        ["1 TCP connections whose SYN is not"],
    ),
}


@pytest.mark.parametrize(("lost", "subflows", "notes"), LOST.values(), ids=LOST)
def test_what_is_missing_of_the_handshakes_is_said(tmp_path: Path, lost, subflows: int, notes: list[str]) -> None:
    scene = make_scene(5, (impaired(), impaired(delay_ns=30 * MILLISECOND)))
    exchange(scene, b"", UPLOAD)
    (whole,) = pcap.connections([captured(scene, tmp_path / "whole.pcap")])
    file = captured(scene, tmp_path / "part.pcap", lambda packet: not lost(decode(Packet([packet]))))
    (part,) = pcap.connections([file])
    marks, known = part.marks("server"), whole.marks("server")
    known = known[known["subflow"] < subflows]
    assert bytes_of(marks, "data") == bytes_of(known, "data")
    assert of(marks, "ack").groupby("subflow")["ssn"].max().equals(of(known, "ack").groupby("subflow")["ssn"].max())
    assert len(part.notes) == bool(notes)
    assert all(text in note for note in part.notes for text in notes)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str, link_type: int, resolution: int, records: list[TraceRecord]) -> bytes:
    """A section of a pcapng file with one interface whose times have 10**-resolution seconds."""
    option = struct.pack(f"{order}HHBxxxHH", 9, 1, resolution, 0, 0)
    parts = [block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))]
    parts.append(block(order, 1, struct.pack(f"{order}HHI", link_type, 0, 0) + option))
    for record in records:
        ticks, size = record.time_ns * 10**resolution // 10**9, len(record.packet)
        head = struct.pack(f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, size, size)
        parts.append(block(order, 6, head + record.packet))
    return b"".join(parts)


@pytest.mark.parametrize("orders", ["<<", "<>", "><"])
def test_sections_of_a_pcapng_file_number_their_interfaces_anew(tmp_path: Path, orders: str) -> None:
    """Another link type, resolution of times and order of bytes in each."""
    scene = make_scene(5, (impaired(),))
    exchange(scene, UPLOAD, b"")
    records = list(scene.network.trace)
    first, second = section(orders[0], 113, 6, []), section(orders[1], 101, 9, records)
    for name, data in (
        ("alone", second),
        ("after", first + second),
        ("before", second + section(orders[0], 113, 6, [])),
    ):
        (tmp_path / name).write_bytes(data)
    alone, after, before = (pcap.connections([tmp_path / name])[0] for name in ("alone", "after", "before"))
    assert len(alone.marks("client")) > 100
    for other in (after, before):
        assert other.marks("client").equals(alone.marks("client"))


def test_frames_of_other_formats_and_damaged_ones(tmp_path: Path) -> None:
    from scapy.layers.l2 import Ether
    from scapy.utils import PcapNgWriter

    scene = make_scene(1)
    exchange(scene, UPLOAD[:20_000], b"")
    (whole,) = pcap.connections([captured(scene, tmp_path / "raw.pcap")])
    tagged = PcapNgWriter(str(tmp_path / "tagged.pcapng"))
    for record in scene.network.trace:
        frame = Ether(bytes(12) + b"\x81\x00\x00\x05\x08\x00" + record.packet)
        frame.time = record.time_ns / 1e9
        tagged.write(frame)
    tagged.close()
    (same,) = pcap.connections([tmp_path / "tagged.pcapng"])
    assert list(same.marks("client")["dsn"].dropna()) == list(whole.marks("client")["dsn"].dropna())

    cut = tmp_path / "cut.pcap"
    with PcapWriter(cut) as capture:
        for record in scene.network.trace:
            for size in (0, 1, 15, 25, 35):
                capture.write(record.time_ns, record.packet[:size])
            capture.write(record.time_ns, record.packet)
    cut.write_bytes(cut.read_bytes()[:-7])
    (same,) = pcap.connections([cut])
    assert same.sent_bytes == whole.sent_bytes
    radio = tmp_path / "radio.pcap"
    radio.write_bytes(
        struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 160, 127) + struct.pack("<IIII", 0, 0, 1, 1) + b"x"
    )
    with pytest.raises(UnreadableFile, match="packets of link type 127; those that can be read: 1,"):
        pcap.connections([radio])
    (tmp_path / "empty.pcap").touch()
    with pytest.raises(UnreadableFile, match=r"empty.pcap: not a capture file \(neither pcap nor pcapng\)"):
        pcap.connections([tmp_path / "empty.pcap"])


def test_connection_is_chosen_by_number_token_or_size(tmp_path: Path) -> None:
    scene = make_scene(1)
    exchange(scene, UPLOAD[:1000], b"")
    for size in (30_000, 2000):
        connect_again(scene, size)
    found = pcap.connections([captured(scene, tmp_path / "three.pcap")])
    assert [one.number for one in found] == [1, 2, 3]
    assert sequences.choose(found, None).number == 2
    assert sequences.choose(found, "3") is found[2]
    assert sequences.choose(found, f"0x{found[0].tokens['client']:x}") is found[0]
    with pytest.raises(sequences.NoConnection, match=r"no connection 4; there are 1 \(0x"):
        sequences.choose(found, "4")
    with pytest.raises(sequences.NoConnection, match="'first' is no connection: a number such as 2 or a token"):
        sequences.choose(found, "first")


def connect_again(scene: Scene, size: int) -> None:
    """One more connection to the listener of the scene."""
    client = Source(UPLOAD[:size])
    scene.client.connect(SERVER, client)
    scene.network.run_until(lambda: client.closed, 120 * SECOND)


def test_figure_has_a_panel_for_each_subflow_that_carried_data(tmp_path: Path) -> None:
    connection, sender, view = sources.load([KERNEL]).choose(None, None)
    marks = connection.marks(sender)
    carried = marks[marks["kind"] == "data"]["subflow"].nunique()
    figure = time_sequence.draw(marks, connection.subflows)
    assert len(figure.axes) == 1 + carried
    png, pdf = time_sequence.save(marks, connection.subflows, tmp_path, "kernel")
    assert imread(png).std() > 0.01
    assert pdf.stat().st_size > 1000
    assert time_sequence.table(view).row_count == 1


def test_parts_of_a_range_have_each_their_mapping() -> None:
    mappings = Mappings()
    mappings.add(1, 1001, 10)
    mappings.add(21, 5001, 10)
    assert list(mappings.pieces(5, 30)) == [(5, 1005, 6), (11, None, 10), (21, 5001, 10), (31, None, 4)]
    mappings.add(31, 100, Mappings.ENDLESS)
    assert list(mappings.pieces(29, 10**6)) == [(29, 5009, 2), (31, 100, 10**6 - 2)]


@pytest.fixture(scope="module")
def trace() -> list[TraceRecord]:
    scene = make_scene(1)
    exchange(scene, UPLOAD[:5000], UPLOAD[:3000])
    return scene.network.trace


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100), st.binary(min_size=1, max_size=4)), max_size=20))
def test_damaged_headers_never_stop_a_capture_from_being_read(
    trace: list[TraceRecord], changes: list[tuple[int, int, bytes]]
) -> None:
    packets = [bytearray(record.packet) for record in trace]
    for number, place, new in changes:
        packets[number % len(packets)][place : place + len(new)] = new
    with TemporaryDirectory() as directory:
        path = Path(directory) / "damaged.pcap"
        with PcapWriter(path) as capture:
            for record, packet in zip(trace, packets, strict=True):
                capture.write(record.time_ns, bytes(packet))
        try:
            found = pcap.connections([path])
        except sequences.NoConnection:
            return
        for connection in found:
            for sender in sequences.SENDERS:
                connection.marks(sender)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10))))
def test_ranges_are_a_set(parts: list[tuple[int, int]]) -> None:
    ranges, numbers = Ranges(), set()
    for start, length in parts:
        assert ranges.overlaps(start, start + length) == bool(numbers & set(range(start, start + length)))
        parts = [
            (number, inside)
            for begin, end, inside in ranges.parts(start, start + length)
            for number in range(begin, end)
        ]
        assert parts == [(number, number in numbers) for number in range(start, start + length)]
        ranges.add(start, start + length)
        numbers |= set(range(start, start + length))
    assert ranges.end == max(numbers, default=-1) + 1


@given(st.integers(0, 2**70), st.integers(-(2**31), 2**31 - 1))
def test_numbers_are_unwrapped_to_the_nearest(near: int, distance: int) -> None:
    assert unwrap((near + distance) % 2**32, 32, near) == near + distance
