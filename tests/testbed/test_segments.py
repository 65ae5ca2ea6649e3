"""Super-segments of the emulator's ports: the packets they are cut into are what a sender without offloads sends."""

from struct import pack

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testbed.links.emulator.segments import MalformedSegment, is_super_segment, split

GSO = {"tcp4": 1, "tcp6": 4, "udp": 5}
NETWORKS = {
    4: IP(src="10.0.0.1", dst="10.0.0.2", id=65535, flags="DF"),
    6: IPv6(src="fd00::1", dst="fd00::2"),
}


def super_segment(network, transport, payload, kind, gso_bytes, flags=1):
    frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network / transport / payload)
    start = len(frame) - len(payload) - len(bytes(transport))
    return pack("<BBHHHH", flags, kind, 0, gso_bytes, start, 16 if TCP in transport else 6) + frame


def completed(packet):
    """A packet's frame, its checksum completed as the virtio header says."""
    flags, kind, _, gso, start, offset = (int.from_bytes(packet[a:b], "little") for a, b in
                                          ((0, 1), (1, 2), (2, 4), (4, 6), (6, 8), (8, 10)))  # fmt: skip
    assert (flags, kind, gso) == (1, 0, 0)
    frame = bytearray(packet[10:])
    covered = frame[start:] + bytes(len(frame[start:]) % 2)
    total = sum(int.from_bytes(covered[at : at + 2], "big") for at in range(0, len(covered), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    frame[start + offset : start + offset + 2] = (total ^ 0xFFFF).to_bytes(2, "big")
    return bytes(frame)


def as_scapy_sends(network, transport, payload):
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / network / transport / payload)


@pytest.mark.parametrize("version", [4, 6])
def test_tcp(version):
    network, payload = NETWORKS[version], bytes(range(250)) * 10
    options = [("Timestamp", (7, 8)), ("NOP", None), ("NOP", None)]
    whole = TCP(sport=1, dport=2, seq=2**32 - 1000, ack=5, flags="PAFC", options=options)
    frame = super_segment(network, whole, payload, GSO[f"tcp{version}"] | 0x80, 1000)
    assert is_super_segment(frame)
    for index, packet in enumerate(split(frame)):
        flags = "A" + ("C" if index == 0 else "") + ("PF" if index == 2 else "")
        part = TCP(sport=1, dport=2, seq=(2**32 - 1000 + 1000 * index) % 2**32, ack=5, flags=flags, options=options)
        header = network.copy()
        if version == 4:
            header.id = (65535 + index) % 65536
        assert completed(packet) == as_scapy_sends(header, part, payload[1000 * index : 1000 * index + 1000])
    assert index == 2


@pytest.mark.parametrize("version", [4, 6])
def test_udp(version):
    network, payload = NETWORKS[version], bytes(range(251)) * 4
    packets = split(super_segment(network, UDP(sport=1, dport=2), payload, GSO["udp"], 400))
    for index, packet in enumerate(packets):
        header = network.copy()
        if version == 4:
            header.id = (65535 + index) % 65536
        part = payload[400 * index : 400 * index + 400]
        assert completed(packet) == as_scapy_sends(header, UDP(sport=1, dport=2), part)
    assert len(packets) == 3


WHOLE = super_segment(NETWORKS[4], TCP(), bytes(3000), GSO["tcp4"], 1000)


@pytest.mark.parametrize(
    "frame",
    [
        super_segment(NETWORKS[4], TCP(), bytes(3000), 3, 1000),  # UDP fragmentation offload
        super_segment(NETWORKS[4], TCP(), bytes(3000), GSO["tcp4"], 0),
        super_segment(NETWORKS[4], TCP(), bytes(3000), GSO["tcp4"], 1000, flags=0),
        super_segment(NETWORKS[4], TCP(), b"", GSO["tcp4"], 1000),
        WHOLE[:50],
        WHOLE[:6] + b"\xff\xff" + WHOLE[8:],
        WHOLE[:6] + b"\x00\x00" + WHOLE[8:],
    ],
)
def test_what_does_not_hold_together_is_refused(frame):
    with pytest.raises(MalformedSegment):
        split(frame)


def test_a_packet_is_no_super_segment():
    assert not is_super_segment(super_segment(NETWORKS[4], TCP(), b"x", 0, 0))
