"""Middleboxes that meddle with headers: what scapy reads behind them, in both directions, over IPv4 and IPv6."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import ARP, Ether

from tests.testbed.middleboxes.wire import BACKWARD, CLIENT_MAC, FORWARD, SERVER_MAC, Line, options, payload

MP_CAPABLE, DSS, ADD_ADDR = (30, b"\x01\x01" + bytes(8)), (30, b"\x20\x05" + bytes(18)), (30, b"\x30\x01" + bytes(14))
TS = ("Timestamp", (7, 8))
WAYS, VERSIONS = (FORWARD, BACKWARD), (4, 6)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.mark.parametrize("way", WAYS)
def test_an_untouched_packet_keeps_its_bytes(way, version):
    line = Line({"kind": "strip-option"}, {"kind": "window-clamp", "window": "64 KiB"}, version=version)
    packet = line.tcp(way, payload=b"hello", options=[("NOP", None), TS])
    packet[TCP].chksum = 0x1234  # still to be completed by hardware
    assert line.chain.take(b"\1" + bytes(9) + bytes(packet), way, 0) == [(way, b"\1" + bytes(9) + bytes(packet))]
    assert line.counters() == {"seen": 1, "changed": 0, "dropped": 0, "injected": 0}


@pytest.mark.parametrize("packet", [ARP(), IP() / UDP() / b"x", IP() / ICMP(), IP(frag=5, proto=6) / bytes(30), b"x"])
def test_what_is_no_tcp_passes(packet):
    line = Line({"kind": "strip-option"}, {"kind": "rewrite-sequence"}, {"kind": "nat"})
    frame = bytes(10) + bytes(Ether(src=CLIENT_MAC, dst=SERVER_MAC) / packet)
    assert line.chain.take(frame, FORWARD, 0) == [(FORWARD, frame)]


@pytest.mark.parametrize("tail", [b"\x1e", b"\x1e\x00", b"\x1e\x28", b"\x1e\x01\x00"])
def test_malformed_options_pass(tail):
    line = Line({"kind": "strip-option"})
    frame = bytearray(bytes(10) + bytes(line.tcp()))
    frame[10 + 14 + 20 + 12] = 6 << 4  # four bytes of options
    assert line.chain.take(bytes(frame) + tail.ljust(4, b"\2"), FORWARD, 0)[0][1][10:].endswith(tail.ljust(4, b"\2"))


# --- strip-option, corrupt-option, drop-unknown-syn ----------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, {"syn": ["Timestamp"], "data": ["Timestamp"]}),
        ({"packets": "syn"}, {"syn": ["Timestamp"], "data": ["Timestamp", 30, 30]}),
        ({"packets": "non-syn"}, {"syn": [30, "Timestamp"], "data": ["Timestamp"]}),
        ({"subtypes": "dss"}, {"syn": [30, "Timestamp"], "data": ["Timestamp", 30]}),
        ({"subtypes": ["mp-capable", "add-addr"]}, {"syn": ["Timestamp"], "data": ["Timestamp", 30]}),
        ({"option": "timestamps"}, {"syn": [30], "data": [30, 30]}),
        ({"direction": "backward"}, {"syn": [30, "Timestamp"], "data": ["Timestamp", 30, 30]}),
    ],
)
def test_the_chosen_options_are_removed(settings, left, version):
    line = Line({"kind": "strip-option", **settings}, version=version)
    assert options(line.segment(flags="S", options=[MP_CAPABLE, TS])) == left["syn"]
    data = line.segment(payload=b"data" * 10, options=[TS, (30, DSS[1][:6]), ADD_ADDR])
    assert options(data) == left["data"]
    assert payload(data) == b"data" * 10


def test_options_may_be_removed_from_the_middle_on():
    line = Line({"kind": "strip-option", "after": 100})
    assert options(line.segment(options=[DSS], payload=bytes(60))) == [30]
    assert options(line.segment(BACKWARD, options=[DSS], payload=bytes(39))) == [30]
    assert options(line.segment(options=[DSS], payload=b"x")) == []


def test_options_overwritten_with_nops_keep_the_headers_length():
    line = Line({"kind": "strip-option", "nops": True})
    before = line.tcp(BACKWARD, options=[TS, DSS], payload=b"x")
    after = line.one(before, BACKWARD)
    assert options(after) == ["Timestamp"]
    assert len(after) == len(before)


def test_one_byte_of_an_option_is_damaged():
    line = Line({"kind": "corrupt-option", "subtypes": "dss"})
    damaged = line.segment(options=[TS, DSS], payload=b"x")
    (data,) = (data for kind, data in damaged[TCP].options if kind == 30)
    assert sum(a != b for a, b in zip(data, DSS[1], strict=True)) == 1
    assert data[0] == DSS[1][0]
    assert options(line.segment(options=[ADD_ADDR])) == [30]
    assert line.counters() == {"seen": 2, "changed": 1, "dropped": 0, "injected": 0}


def test_dice_are_seeded():
    def fates(seed):
        line = Line({"kind": "corrupt-option", "share": "50 %"}, seed=seed)
        return [bytes(line.segment(options=[DSS])) for _ in range(20)]

    assert fates("1") == fates("1") != fates("2")


@pytest.mark.parametrize("way", WAYS)
def test_syns_with_unknown_options_are_dropped(way):
    line = Line({"kind": "drop-unknown-syn"})
    flags = "S" if way == FORWARD else "SA"
    assert line.onward(line.tcp(way, flags=flags, options=[("MSS", 1460), MP_CAPABLE]), way) == []
    assert options(line.segment(way, flags=flags, options=[("MSS", 1460), TS])) == ["MSS", "Timestamp"]
    assert options(line.segment(way, options=[DSS])) == [30]
    assert line.counters()["dropped"] == 1


# --- MSS, window, ECN, ICMP ----------------------------------------------------------------------------------


def test_the_mss_is_lowered_in_syns():
    line = Line({"kind": "mss-clamp", "mss": 1000})
    assert line.segment(flags="S", options=[("MSS", 1460)])[TCP].options == [("MSS", 1000)]
    assert line.segment(BACKWARD, flags="SA", options=[("MSS", 536)])[TCP].options == [("MSS", 536)]


def test_the_window_is_lowered_by_its_scale(version):
    line = Line({"kind": "window-clamp", "window": 10_000}, version=version)
    assert line.segment(flags="S", options=[("WScale", 3)], window=64_000)[TCP].window == 10_000
    assert line.segment(BACKWARD, flags="SA", options=[("WScale", 0)], window=9_000)[TCP].window == 9_000
    assert line.segment(window=5_000)[TCP].window == 1_250
    assert line.segment(BACKWARD, window=12_000)[TCP].window == 10_000


def test_ecn_marks_are_cleared(version):
    line = Line({"kind": "ecn-bleach", "handshake": True}, version=version)
    packet = line.tcp(payload=b"x")
    packet[1].setfieldval("tos" if version == 4 else "tc", 0b101010)
    assert line.one(packet)[1].getfieldval("tos" if version == 4 else "tc") == 0b101000
    assert line.segment(flags="SEC")[TCP].flags == "S"
    assert line.segment(flags="AE")[TCP].flags == "AE"


def test_too_large_packets_and_icmp_vanish(version):
    line = Line({"kind": "icmp-blackhole", "mtu": 1000}, version=version)
    header_bytes = 60 if version == 6 else 40
    assert payload(line.segment(payload=bytes(1000 - header_bytes)))
    assert line.onward(line.tcp(BACKWARD, payload=bytes(1001 - header_bytes)), BACKWARD) == []
    error = IP() / ICMP(type=3, code=4) if version == 4 else IPv6() / ICMPv6PacketTooBig()
    assert line.onward(Ether(dst=SERVER_MAC) / error) == []


def test_neighbour_discovery_is_not_stopped():
    line = Line({"kind": "icmp-blackhole"})
    assert line.onward(Ether(dst=SERVER_MAC) / IPv6() / ICMPv6ND_NS())
