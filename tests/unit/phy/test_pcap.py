import struct
from pathlib import Path

import pytest

from mptcp_stack.phy import PcapWriter, Tap, memory_pair, wire_form
from mptcp_stack.wire import Checksum, Packet, decode

RECORD = struct.Struct("<IIII")


def read_pcap(path: Path) -> list[tuple[int, bytes]]:
    data = path.read_bytes()
    assert struct.unpack_from("<IHHiIII", data) == (0xA1B23C4D, 2, 4, 0, 0, 0x40000, 101)
    records, offset = [], 24
    while offset < len(data):
        seconds, nanoseconds, captured, length = RECORD.unpack_from(data, offset)
        assert captured == length
        records.append((seconds * 10**9 + nanoseconds, data[offset + 16 : offset + 16 + length]))
        offset += 16 + length
    return records


def test_both_directions_are_recorded_as_packets_of_the_wire(tmp_path, super_segment):
    near, far = memory_pair()
    clock = iter([1_000_000_007, 2_000_000_000])
    with PcapWriter(tmp_path / "a.pcap") as writer:
        device = Tap(near, writer.observe, lambda: next(clock))
        device.send([super_segment])
        far.send(far.receive(1))
        (echo,) = device.receive(1)
    assert echo.gso_size == 1448
    records = read_pcap(tmp_path / "a.pcap")
    assert [time for time, _ in records] == [1_000_000_007] * 3 + [2_000_000_000] * 3
    assert [data for _, data in records[:3]] == [data for _, data in records[3:]]
    sent = [decode(Packet([data], checksum=Checksum.NONE)) for _, data in records[:3]]
    assert [segment.seq for segment in sent] == [4294967000, 1152, 2600]


def test_only_what_the_device_took_is_recorded(tmp_path, super_segment):
    near, _ = memory_pair(queue_packets=1)
    with PcapWriter(tmp_path / "a.pcap") as writer:
        assert Tap(near, writer.observe).send([super_segment, super_segment]) == 1
    assert len(read_pcap(tmp_path / "a.pcap")) == 3


@pytest.mark.parametrize("data", [b"", b"\x45", bytes(60), b"\x45" + bytes(8) + b"\x11" + bytes(30)])
def test_what_is_not_tcp_is_recorded_as_it_is(data):
    assert wire_form(Packet([data], checksum=Checksum.PARTIAL)) == [data]


def test_a_path_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        PcapWriter(tmp_path / "none" / "a.pcap")
