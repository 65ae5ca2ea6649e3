"""Middleboxes that know connections: numbers, data and acknowledgements are right for both ends."""

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

from tests.testbed.middleboxes.wire import (
    ADDRESSES,
    BACKWARD,
    CLIENT_MAC,
    FORWARD,
    MS,
    PORTS,
    SERVER_MAC,
    Line,
    options,
    payload,
)

CLIENT_ISN, SERVER_ISN = 2**32 - 50, 7_000
DSS, TS = (30, b"\x20\x05" + bytes(10)), ("Timestamp", (70, 80))
SECOND = 1000 * MS


@pytest.fixture(params=(4, 6))
def version(request):
    return request.param


def connect(line, **fields):
    """A handshake; what each end sees of the other's initial number."""
    syn = line.segment(flags="S", seq=CLIENT_ISN, **fields)[TCP].seq
    answer = line.segment(BACKWARD, flags="SA", seq=SERVER_ISN, ack=(syn + 1) % 2**32, **fields)[TCP]
    assert answer.ack == (CLIENT_ISN + 1) % 2**32
    done = line.segment(seq=CLIENT_ISN + 1, ack=answer.seq + 1, **fields)[TCP]
    assert done.ack == SERVER_ISN + 1
    return (syn, answer.seq)


# --- nat -----------------------------------------------------------------------------------------------------


def test_ports_are_others_outside(version):
    line = Line({"kind": "nat", "first_port": 50_000}, version=version)
    syn = line.segment(flags="S")
    assert (syn[1].src, syn[TCP].sport) == (ADDRESSES[version][0], 50_000)
    answer = line.segment(BACKWARD, flags="SA", ports=(50_000, 80))
    assert (answer[TCP].sport, answer[TCP].dport) == (80, PORTS[0])
    assert line.segment(flags="S", ports=(33_001, 80))[TCP].sport == 50_001
    assert line.onward(line.tcp(BACKWARD, flags="S", ports=(50_009, 80)), BACKWARD) == []


def test_an_idle_mapping_is_forgotten():
    line = Line({"kind": "nat", "timeout": "1 s", "first_port": 50_000})
    line.segment(flags="S")
    line.wait(SECOND)
    assert line.segment(BACKWARD, payload=b"x", ports=(50_000, 80))[TCP].dport == PORTS[0]
    line.wait(SECOND)
    assert line.segment(payload=b"x")[TCP].sport == 50_000
    line.wait(SECOND + 1)
    assert line.onward(line.tcp(BACKWARD, payload=b"x", ports=(50_000, 80)), BACKWARD) == []
    assert line.segment(payload=b"x")[TCP].sport == 50_001


def test_what_is_forgotten_may_be_reset():
    line = Line({"kind": "nat", "forgotten": "reset"})
    ((way, reset),) = line.send(line.tcp(BACKWARD, payload=b"x", seq=5, ack=9), BACKWARD)
    assert (way, reset[TCP].flags, reset[TCP].seq, reset[TCP].dport) == (FORWARD, "R", 9, PORTS[1])
    ((_, reset),) = line.send(line.tcp(BACKWARD, flags="S", seq=5), BACKWARD)
    assert (reset[TCP].flags, reset[TCP].ack) == ("RA", 6)
    assert line.send(line.tcp(BACKWARD, flags="R"), BACKWARD) == []


def test_the_address_outside_is_the_nats_and_answered_for():
    line = Line({"kind": "nat", "address": "10.0.1.254"})
    syn = line.segment(flags="S")
    assert syn[IP].src == "10.0.1.254"
    question = Ether(src=SERVER_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=SERVER_MAC, psrc="10.0.1.2", pdst="10.0.1.254"
    )
    ((way, answer),) = line.send(question, BACKWARD)
    assert (way, answer.dst, answer[ARP].op, answer[ARP].hwsrc) == (FORWARD, SERVER_MAC, 2, CLIENT_MAC)
    assert (answer[ARP].psrc, answer[ARP].pdst) == ("10.0.1.254", "10.0.1.2")
    back = line.tcp(BACKWARD, flags="SA", ports=(40_000, 80))
    back[IP].dst = "10.0.1.254"
    assert line.one(back, BACKWARD)[IP].dst == "10.0.1.1"


# --- rewrite-sequence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sack", [True, False])
def test_numbers_are_rewritten_both_ways(sack, version):
    line = Line({"kind": "rewrite-sequence", "sack": sack}, version=version)
    syn, synack = connect(line)
    assert syn != CLIENT_ISN
    assert synack != SERVER_ISN
    data = line.segment(seq=CLIENT_ISN + 1, ack=synack + 1, payload=b"x" * 100)[TCP]
    assert data.seq == (syn + 1) % 2**32
    edges = ((syn + 50) % 2**32, (syn + 60) % 2**32)
    ack = line.segment(BACKWARD, seq=SERVER_ISN + 1, ack=(syn + 11) % 2**32, options=[("SAck", edges)])[TCP]
    assert (ack.seq, ack.ack) == (synack + 1, (CLIENT_ISN + 11) % 2**32)
    expected = tuple((CLIENT_ISN + offset) % 2**32 for offset in (50, 60)) if sack else edges
    assert ack.options[0] == ("SAck", expected)
    again = line.segment(flags="S", seq=CLIENT_ISN)[TCP].seq
    assert again == syn
    assert line.segment(flags="S", seq=CLIENT_ISN + 999)[TCP].seq != (syn + 999) % 2**32


# --- split, coalesce -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [True, False])
def test_a_segment_is_split(copy, version):
    line = Line({"kind": "split", "size": 400, "copy_options": copy}, version=version)
    parts = line.onward(line.tcp(flags="FPA", seq=CLIENT_ISN, payload=bytes(range(200)) * 5, options=[DSS]))
    assert [part[TCP].seq for part in parts] == [(CLIENT_ISN + offset) % 2**32 for offset in (0, 400, 800)]
    assert [part[TCP].flags for part in parts] == ["A", "A", "FPA"]
    assert b"".join(map(payload, parts)) == bytes(range(200)) * 5
    assert [options(part) for part in parts] == ([[30]] * 3 if copy else [[30], [], []])
    assert line.counters() == {"seen": 1, "changed": 1, "dropped": 0, "injected": 2}


def test_small_segments_are_joined():
    line = Line({"kind": "coalesce", "wait": "2 ms"})
    other = (30, b"\x20\x05" + bytes(range(10)))
    assert line.onward(line.tcp(seq=CLIENT_ISN, payload=b"a" * 700, options=[DSS])) == []
    assert line.onward(line.tcp(seq=CLIENT_ISN + 700 - 2**32, payload=b"b" * 600, options=[other])) == []
    third = line.tcp(seq=CLIENT_ISN + 1300 - 2**32, payload=b"c" * 600, options=[other])
    joined = line.one(third)
    assert payload(joined) == b"a" * 700 + b"b" * 600
    assert joined[TCP].seq == CLIENT_ISN
    assert joined[TCP].options[0] == DSS
    ((_, last),) = line.wait(2 * MS)
    assert payload(last) == b"c" * 600
    assert line.counters() == {"seen": 3, "changed": 1, "dropped": 0, "injected": 0}


def test_a_held_segment_goes_before_what_cannot_be_joined():
    line = Line({"kind": "coalesce"})
    assert line.onward(line.tcp(seq=1, payload=b"a")) == []
    gap = line.one(line.tcp(seq=5, payload=b"b"))
    assert payload(gap) == b"a"
    first, fin = line.onward(line.tcp(seq=6, flags="FA"))
    assert (payload(first), fin[TCP].flags) == (b"b", "FA")
    assert line.wait(SECOND) == []


# --- payload -------------------------------------------------------------------------------------------------


def test_the_same_bytes_are_changed_however_often_they_come(version):
    line = Line({"kind": "modify-payload", "first": 10, "every": 100}, version=version)
    connect(line)
    start = CLIENT_ISN + 1

    def sent(offset, length):
        return payload(line.segment(seq=(start + offset) % 2**32, payload=bytes(length)))

    assert sent(0, 10) == bytes(10)
    assert [place for place, byte in enumerate(sent(5, 250)) if byte] == [5, 105, 205]
    assert [place for place, byte in enumerate(sent(110, 1)) if byte] == [0]
    assert sent(111, 99) == bytes(99)


def gateway(version=4, **settings):
    line = Line(
        {"kind": "application-gateway", "pattern": "PORT", "replacement": "GATEWAY", **settings}, version=version
    )
    connect(line)
    return line


def test_a_longer_text_moves_all_that_follows(version):
    line = gateway(version)
    start = (CLIENT_ISN + 1) % 2**32
    first = line.segment(seq=start, payload=b"a PORT and PORT b")
    assert (first[TCP].seq, payload(first)) == (start, b"a GATEWAY and GATEWAY b")
    following = line.segment(seq=start + 17, payload=b"more")[TCP]
    assert following.seq == start + 23
    for acknowledged, restored in ((23, 17), (27, 21), (9, 6), (2, 2), (4, 2), (14, 11)):
        back = line.segment(BACKWARD, seq=SERVER_ISN + 1, ack=start + acknowledged)[TCP]
        assert (back.seq, back.ack) == (SERVER_ISN + 1, start + restored)
    sack = line.segment(BACKWARD, ack=start, options=[("SAck", (start + 23, start + 27))])[TCP]
    assert sack.options[0] == ("SAck", (start + 17, start + 21))


def test_retransmissions_are_cut_to_what_was_replaced():
    line = gateway()
    start = CLIENT_ISN + 1
    whole = payload(line.segment(seq=start, payload=b"a PORT b"))
    for cut in range(1, 8):
        left, right = b"a PORT b"[:cut], b"a PORT b"[cut:]
        parts = [line.segment(seq=start, payload=left), line.segment(seq=start + cut, payload=right)]
        assert b"".join(map(payload, parts)) == whole
        assert parts[1][TCP].seq == start + len(payload(parts[0]))


def test_a_shorter_text_and_the_other_direction():
    line = gateway(replacement="hex:00", count=1)
    data = line.segment(BACKWARD, seq=SERVER_ISN + 1, ack=5, payload=b"PORT PORT")
    assert payload(data) == b"\0 PORT"
    assert line.segment(seq=5, ack=SERVER_ISN + 1 + 6)[TCP].ack == SERVER_ISN + 1 + 9


def test_what_becomes_too_long_is_split():
    line = gateway()
    parts = line.onward(line.tcp(seq=CLIENT_ISN + 1, payload=b"PORT" + bytes(1456)))
    assert [len(payload(part)) for part in parts] == [1460, 3]


# --- acknowledging and repairing -----------------------------------------------------------------------------


def test_data_is_acknowledged_before_its_receiver_does(version):
    line = Line({"kind": "proactive-ack"}, version=version)
    connect(line, options=[TS], window=500)
    start = (CLIENT_ISN + 1) % 2**32
    data = line.tcp(seq=start, ack=SERVER_ISN + 1, payload=b"x" * 10, options=[("Timestamp", (90, 1)), DSS])
    (onward, same), (back, ack) = line.send(data)
    assert (onward, bytes(same)) == (FORWARD, bytes(data))
    assert (back, ack.src, ack[1].src) == (BACKWARD, SERVER_MAC, ADDRESSES[version][1])
    assert (ack[TCP].seq, ack[TCP].ack, ack[TCP].flags, ack[TCP].window) == (SERVER_ISN + 1, start + 10, "A", 500)
    assert ack[TCP].options == [("Timestamp", (70, 90)), ("NOP", None), ("NOP", None)]
    assert len(line.send(line.tcp(seq=start + 20, payload=b"y"))) == 1  # a gap: nothing is acknowledged
    assert line.counters() == {"seen": 5, "changed": 0, "dropped": 0, "injected": 1}


def test_acknowledgements_that_say_nothing_new_may_be_swallowed():
    line = Line({"kind": "proactive-ack", "swallow": True})
    connect(line, window=500)
    start = (CLIENT_ISN + 1) % 2**32
    line.send(line.tcp(seq=start, payload=b"x" * 10))
    assert line.send(line.tcp(BACKWARD, seq=SERVER_ISN + 1, ack=start + 10, window=500), BACKWARD) == []
    assert line.segment(BACKWARD, seq=SERVER_ISN + 1, ack=start + 10, window=600)
    assert line.segment(BACKWARD, seq=SERVER_ISN + 1, ack=start + 11, window=500)


def test_a_copy_is_sent_again_after_a_while():
    line = Line({"kind": "retransmitting-proxy", "timeout": "100 ms"})
    connect(line)
    start = (CLIENT_ISN + 1) % 2**32
    for offset in (0, 10):
        (_, _), (back, ack) = line.send(line.tcp(seq=start + offset, ack=SERVER_ISN + 1, payload=bytes([offset] * 10)))
        assert (back, ack[TCP].ack) == (BACKWARD, start + offset + 10)
    ((way, again),) = line.wait(150 * MS)
    assert (way, again[TCP].seq, payload(again)) == (FORWARD, start, bytes(10))
    line.send(line.tcp(BACKWARD, seq=SERVER_ISN + 1, ack=start + 10), BACKWARD)
    ((_, again),) = line.wait(100 * MS)
    assert again[TCP].seq == start + 10
    line.send(line.tcp(BACKWARD, seq=SERVER_ISN + 1, ack=start + 20), BACKWARD)
    assert line.wait(SECOND) == []


def test_a_copy_is_sent_again_at_the_third_repeated_acknowledgement():
    line = Line({"kind": "retransmitting-proxy", "acks": False})
    connect(line)
    start = (CLIENT_ISN + 1) % 2**32
    assert len(line.send(line.tcp(seq=start, ack=SERVER_ISN + 1, payload=b"lost"))) == 1
    again = line.tcp(BACKWARD, seq=SERVER_ISN + 1, ack=start)
    answers = [line.send(again, BACKWARD) for _ in range(4)]
    assert [len(answer) for answer in answers] == [1, 1, 2, 1]
    assert (answers[2][1][0], payload(answers[2][1][1])) == (FORWARD, b"lost")


def test_gap_after_gap_is_repaired_at_once():
    line = Line({"kind": "retransmitting-proxy"})
    connect(line)
    start = CLIENT_ISN + 1
    for offset in range(0, 50, 10):
        line.send(line.tcp(seq=start + offset, ack=SERVER_ISN + 1, payload=bytes(10)))

    def repaired(acknowledged):
        out = line.send(line.tcp(BACKWARD, seq=SERVER_ISN + 1, ack=start + acknowledged), BACKWARD)
        return [(one[TCP].seq - start) % 2**32 for way, one in out if way == FORWARD]

    assert [repaired(10) for _ in range(4)] == [[], [], [], [10]]
    assert repaired(30) == [30]
    assert repaired(50) == []


def test_what_exceeds_the_buffer_is_not_acknowledged():
    line = Line({"kind": "retransmitting-proxy", "buffer": 15})
    connect(line)
    start = (CLIENT_ISN + 1) % 2**32
    assert [len(line.send(line.tcp(seq=start + at, payload=bytes(10)))) for at in (0, 10)] == [2, 1]


def test_data_after_a_gap_is_refused(version):
    line = Line({"kind": "hole-filling"}, version=version)
    connect(line)
    start = (CLIENT_ISN + 1) % 2**32
    assert line.segment(seq=start, payload=b"12345")
    assert line.onward(line.tcp(seq=start + 6, payload=b"7")) == []
    assert line.segment(seq=start + 5, payload=b"6")
    assert line.segment(seq=start + 6, payload=b"7")
    assert line.segment(seq=start + 2, payload=b"345")
    assert line.onward(line.tcp(seq=start + 8, flags="FA")) == []
    assert line.segment(seq=start + 99)  # a bare ACK
    assert line.counters()["dropped"] == 2


# --- resets, acknowledgements, losses ------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "ways"), [("both", [0, 0, 1]), ("sender", [0, 1]), ("receiver", [0, 0])])
def test_a_connection_is_reset_once_in_the_middle(to, ways):
    line = Line({"kind": "rst-injection", "after": 150, "to": to})
    connect(line)
    start = (CLIENT_ISN + 1) % 2**32
    assert len(line.send(line.tcp(seq=start, ack=SERVER_ISN + 1, payload=bytes(100)))) == 1
    out = line.send(line.tcp(seq=start + 100, ack=SERVER_ISN + 1, payload=bytes(100)))
    assert [way for way, _ in out] == ways
    for way, reset in out[1:]:
        assert (reset[TCP].flags, payload(reset)) == ("R", b"")
        assert reset[TCP].seq == ((start + 200) % 2**32 if way == FORWARD else SERVER_ISN + 1)
    assert len(line.send(line.tcp(seq=start + 200, payload=bytes(900)))) == 1


def test_acknowledgements_are_repeated():
    line = Line({"kind": "duplicate-acks", "copies": 2, "share": 1})
    assert len(line.onward(line.tcp(BACKWARD, ack=5), BACKWARD)) == 3
    assert len(line.onward(line.tcp(payload=b"x"))) == 1


def test_acknowledgements_overtake_one_another():
    line = Line({"kind": "reorder-acks", "share": "50 %", "wait": "5 ms"})
    arrived = []
    for number in range(100):
        arrived += [one[TCP].ack for one in line.onward(line.tcp(ack=number))]
        arrived += [one[TCP].ack for _, one in line.wait(MS)]
    arrived += [one[TCP].ack for _, one in line.wait(SECOND)]
    assert sorted(arrived) == list(range(100)) != arrived
    assert line.counters()["dropped"] == 0


@pytest.mark.parametrize(("segments", "gone"), [("syn", "S"), ("data", "PA"), ("acks", "A")])
def test_the_first_segments_of_a_sort_are_lost(segments, gone):
    line = Line({"kind": "lose", "segments": segments, "first": 2, "share": 0})
    for flags in ("S", "PA", "A"):
        out = [len(line.onward(line.tcp(flags=flags, payload=b"x" if "P" in flags else b""))) for _ in range(3)]
        assert out == ([0, 0, 1] if flags == gone else [1, 1, 1])


# --- several of them -----------------------------------------------------------------------------------------


def test_middleboxes_are_met_in_order_from_the_first_end():
    line = Line(
        {"kind": "mss-clamp", "mss": 1000}, {"kind": "split", "size": 500}, {"kind": "nat", "first_port": 50_000}
    )
    line.segment(flags="S")
    assert [one[TCP].sport for one in line.onward(line.tcp(payload=bytes(900)))] == [50_000] * 2
    back = line.onward(line.tcp(BACKWARD, payload=bytes(900), ports=(50_000, 80)), BACKWARD)
    assert [(one[TCP].dport, len(payload(one))) for one in back] == [(PORTS[0], 500), (PORTS[0], 400)]
    assert [line.counters(number)["seen"] for number in (1, 2, 3)] == [4, 3, 4]


def test_what_a_middlebox_makes_meets_those_behind_it():
    line = Line({"kind": "nat", "first_port": 50_000}, {"kind": "proactive-ack"})
    line.segment(flags="S", seq=CLIENT_ISN)
    line.segment(BACKWARD, flags="SA", seq=SERVER_ISN, ack=CLIENT_ISN + 1, ports=(50_000, 80))
    (_, data), (way, ack) = line.send(line.tcp(seq=CLIENT_ISN + 1, payload=b"x"))
    assert (data[TCP].sport, way, ack[TCP].dport) == (50_000, BACKWARD, PORTS[0])
