"""Byte vectors from the RFCs' figures, layouts, limits, and round trips of every option."""

from dataclasses import replace

import pytest
from hypothesis import given

from mptcp_stack.wire import (
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MpTcpRst,
    Options,
    RemoveAddr,
    UnknownMptcp,
    WireError,
)
from mptcp_stack.wire.options import decode_options, encode_options
from tests.unit.wire import strategies

KEY_A = bytes(range(0x11, 0x19))
KEY_B = bytes(range(0xB1, 0xB9))
V6 = bytes.fromhex("20010db8000000000000000000000001")
FULL_DSS = Dss(0x0102030405060708, dsn=0x1112131415161718, ssn=0x21222324, length=0x3132)


def decode(raw: bytes) -> Options:
    return decode_options(raw, 0, len(raw))


# Whole options, padded as we send them, from the figures of the sections named.
MPTCP_VECTORS = {
    "RFC 8684 3.1 SYN": (MpCapable(1, 0x01), "1e04 01 01"),
    "RFC 8684 3.1 SYN, checksum": (MpCapable(1, 0x81), "1e04 01 81"),
    "RFC 8684 3.1 SYN/ACK": (MpCapable(1, 0x01, KEY_A), "1e0c 01 01 1112131415161718"),
    "RFC 8684 3.1 ACK": (MpCapable(1, 0x21, KEY_A, KEY_B), "1e14 01 21 1112131415161718 b1b2b3b4b5b6b7b8"),
    "RFC 8684 3.1 ACK with data": (
        MpCapable(1, 0x01, KEY_A, KEY_B, 1400),
        "1e16 01 01 1112131415161718 b1b2b3b4b5b6b7b8 0578 0101",
    ),
    "RFC 8684 3.1 ACK with data and checksum": (
        MpCapable(1, 0x81, KEY_A, KEY_B, 1400, 0xBEEF),
        "1e18 01 81 1112131415161718 b1b2b3b4b5b6b7b8 0578 beef",
    ),
    "RFC 6824 3.1 SYN": (MpCapable(0, 0x81, KEY_A), "1e0c 00 81 1112131415161718"),
    "RFC 6824 3.1 ACK": (MpCapable(0, 0x81, KEY_A, KEY_B), "1e14 00 81 1112131415161718 b1b2b3b4b5b6b7b8"),
    "RFC 8684 3.2 SYN": (MpJoinSyn(True, 7, 0xA1A2A3A4, b"nonc"), "1e0c 11 07 a1a2a3a4 6e6f6e63"),
    "RFC 8684 3.2 SYN/ACK": (
        MpJoinSynAck(False, 7, KEY_B, b"nonc"),
        "1e10 10 07 b1b2b3b4b5b6b7b8 6e6f6e63",
    ),
    "RFC 8684 3.2 ACK": (MpJoinAck(bytes(range(20))), "1e18 10 00" + bytes(range(20)).hex()),
    "RFC 8684 3.4.1 IPv4": (
        AddAddr(3, bytes((192, 0, 2, 1)), hmac=KEY_A),
        "1e10 30 03 c0000201 1112131415161718",
    ),
    "RFC 8684 3.4.1 IPv4 with port": (
        AddAddr(3, bytes((192, 0, 2, 1)), 8080, KEY_A),
        "1e12 30 03 c0000201 1f90 1112131415161718 0101",
    ),
    "RFC 8684 3.4.1 IPv6": (AddAddr(3, V6, hmac=KEY_A), f"1e1c 30 03 {V6.hex()} 1112131415161718"),
    "RFC 8684 3.4.1 IPv6 with port": (
        AddAddr(3, V6, 8080, KEY_A),
        f"1e1e 30 03 {V6.hex()} 1f90 1112131415161718 0101",
    ),
    "RFC 8684 3.4.1 echo": (AddAddr(3, bytes((192, 0, 2, 1)), echo=True), "1e08 31 03 c0000201"),
    "RFC 8684 3.4.1 echo with port": (
        AddAddr(3, bytes((192, 0, 2, 1)), 8080, echo=True),
        "1e0a 31 03 c0000201 1f90 0101",
    ),
    "RFC 6824 3.4.1 IPv4": (AddAddr(3, bytes((192, 0, 2, 1))), "1e08 34 03 c0000201"),
    "RFC 6824 3.4.1 IPv6 with port": (AddAddr(3, V6, 8080), f"1e16 36 03 {V6.hex()} 1f90 0101"),
    "RFC 8684 3.4.2": (RemoveAddr((1, 2)), "1e05 40 01 02 010101"),
    "RFC 8684 3.3.8": (MpPrio(True), "1e03 51 01"),
    "RFC 6824 3.3.8": (MpPrio(False, 9), "1e04 50 09"),
    "RFC 8684 3.7": (MpFail(0x1112131415161718), "1e0c 60 00 1112131415161718"),
    "RFC 8684 3.5": (MpFastclose(KEY_B), "1e0c 70 00 b1b2b3b4b5b6b7b8"),
    "RFC 8684 3.6": (MpTcpRst(1, 2), "1e04 81 02"),
    "unknown subtype": (UnknownMptcp(15, bytes.fromhex("f0aabb")), "1e05 f0 aabb 010101"),
    "MP_CAPABLE of a later version": (UnknownMptcp(0, bytes.fromhex("0201aabb")), "1e06 02 01 aabb 0101"),
}

TS = "0101080a 00000064 000000c8"

VECTORS = {
    "RFC 7323 3.2": (Options(ts_val=100, ts_ecr=200), TS),
    "SYN as Linux sends it": (
        Options(mss=1460, window_scale=7, sack_permitted=True, ts_val=100, ts_ecr=200),
        "020405b4 0402 080a 00000064 000000c8 01 030307",
    ),
    "SYN without timestamps": (
        Options(mss=1460, window_scale=7, sack_permitted=True),
        "020405b4 01010402 01030307",
    ),
    "SYN without SACK": (
        Options(mss=536, ts_val=100, ts_ecr=200),
        "02040218 0101080a 00000064 000000c8",
    ),
    "RFC 2018 3": (
        Options(sack=((5500, 6000), (7000, 7500))),
        "0101 0512 0000157c 00001770 00001b58 00001d4c",
    ),
    "SACK after timestamps and DSS": (
        Options(ts_val=100, ts_ecr=200, dss=Dss(0x0102030405060708), sack=((5500, 6000),)),
        TS + "1e0c 2003 0102030405060708 0101 050a 0000157c 00001770",
    ),
    "RFC 8684 3.3, 8 bytes each": (
        Options(ts_val=100, ts_ecr=200, dss=FULL_DSS),
        TS + "1e1a 200f 0102030405060708 1112131415161718 21222324 3132 0101",
    ),
    "RFC 8684 3.3, with checksum": (
        Options(dss=Dss(1, dsn=2, ssn=3, length=4, checksum=5)),
        "1e1c 200f 0000000000000001 0000000000000002 00000003 0004 0005",
    ),
    "RFC 8684 3.3, 4 bytes each, DATA_FIN": (
        Options(dss=Dss(1, False, 2, False, 3, 4, data_fin=True)),
        "1e12 2015 00000001 00000002 00000003 0004 0101",
    ),
    "RFC 8684 3.3, mapping alone": (
        Options(dss=Dss(dsn=2, ssn=3, length=4)),
        "1e12 200c 0000000000000002 00000003 0004 0101",
    ),
    "two MPTCP options": (
        Options(mptcp=(MpFastclose(KEY_B), MpTcpRst(0, 1))),
        "1e0c 70 00 b1b2b3b4b5b6b7b8 1e04 80 01",
    ),
    **{name: (Options(mptcp=(option,)), raw) for name, (option, raw) in MPTCP_VECTORS.items()},
}


@pytest.mark.parametrize(("options", "raw"), VECTORS.values(), ids=VECTORS)
def test_vectors(options, raw):
    assert encode_options(options) == bytes.fromhex(raw)
    assert decode(bytes.fromhex(raw)) == options


# Other spellings that peers use.
SPELLINGS = {
    "end of options": ("020405b4 00ffffff", Options(mss=1460)),
    "unknown option skipped": ("fd04aabb 020405b4", Options(mss=1460)),
    "timestamps without NOPs": ("080a 00000064 000000c8 0101", Options(ts_val=100, ts_ecr=200)),
    "DSS padded with end of options": (
        TS + "1e1a 200f 0102030405060708 1112131415161718 21222324 3132 0000",
        Options(ts_val=100, ts_ecr=200, dss=FULL_DSS),
    ),
    "another option where the padding of the DSS would be": (
        TS + "1e1a 200f 0102030405060708 1112131415161718 21222324 3132 0402",
        Options(sack_permitted=True, ts_val=100, ts_ecr=200, dss=FULL_DSS),
    ),
    "DSS before timestamps": (
        "1e08 2001 00000001" + TS,
        Options(ts_val=100, ts_ecr=200, dss=Dss(1, False)),
    ),
    "reserved bits of the DSS set": (
        TS + "1e08 2fe1 00000001",
        Options(ts_val=100, ts_ecr=200, dss=Dss(1, False)),
    ),
    "size bits of absent numbers set": (TS + "1e04 200a", Options(ts_val=100, ts_ecr=200, dss=Dss())),
    "SACK after the DSS": (
        TS + "1e08 2001 00000001 0101 050a 0000157c 00001770",
        Options(ts_val=100, ts_ecr=200, dss=Dss(1, False), sack=((5500, 6000),)),
    ),
    "the last one of two counts": ("020405b4 02040218", Options(mss=536)),
}


@pytest.mark.parametrize(("raw", "options"), SPELLINGS.values(), ids=SPELLINGS)
def test_spellings(raw, options):
    assert decode(bytes.fromhex(raw)) == options


MALFORMED = {
    "length missing": "01010102",
    "length 0": "02000000",
    "length 1": "02010000",
    "length beyond the end": "020405b4 0305 0000",
    "MSS": "0203 05 01",
    "window scale": "0304 0101",
    "SACK-permitted": "0403 00 01",
    "SACK without block": "0502 0101",
    "SACK with half a block": "0506 00000001 0101",
    "timestamps": "0808 00000000 0000",
    "MPTCP without subtype": "1e02 0101",
    "MP_CAPABLE without flags": "1e03 01 01",
    "MP_CAPABLE": "1e05 0101 00 010101",
    "MP_CAPABLE version 0": "1e05 0001 00 010101",
    "MP_JOIN": "1e04 1000",
    "DSS without flags": "1e03 20 01",
    "DSS too short": "1e08 2003 00000001",
    "DSS too long": "1e0c 2001 00000001 00000001",
    "DSS with checksum but no mapping": "1e0a 2001 00000001 0001 0101",
    "DSS too short, after timestamps": TS + "1e08 2003 00000001",
    "ADD_ADDR": "1e06 3001 0a00 0101",
    "REMOVE_ADDR without identifier": "1e03 40 01",
    "MP_PRIO": "1e05 5000 00 010101",
    "MP_FAIL": "1e04 6000",
    "MP_FASTCLOSE": "1e04 7000",
    "MP_TCPRST": "1e03 80 01",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_malformed(raw):
    with pytest.raises(WireError):
        decode(bytes.fromhex(raw))


@given(strategies.OPTIONS)
def test_round_trip(options):
    raw = encode_options(options)
    assert len(raw) % 4 == 0
    assert len(raw) <= 40
    assert decode(raw) == options


@given(strategies.MPTCP)
def test_round_trip_of_bodies(option):
    body = option.encode()
    again = UnknownMptcp.decode(body) if isinstance(option, UnknownMptcp) else type(option).decode(body)
    assert again == option


@given(strategies.dss())
def test_round_trip_of_dss_bodies(dss):
    assert Dss.decode(dss.encode()) == dss


def test_numbers_of_short_forms_are_cut():
    dss = Dss(0x1_0000_0002, False, 0x3_0000_0004, False)
    assert Dss.decode(dss.encode()) == Dss(2, False, 4, False)


ROOM_FOR_SACK = [
    (Options(), 4),
    (Options(ts_val=1), 3),
    (Options(ts_val=1, dss=Dss(1, False)), 2),
    (Options(ts_val=1, dss=Dss(1)), 1),
    (Options(ts_val=1, dss=FULL_DSS), 0),
]


@pytest.mark.parametrize(("options", "room"), ROOM_FOR_SACK)
def test_sack_blocks_take_the_room_that_is_left(options, room):
    blocks = tuple((n, n + 1) for n in range(10, 60, 10))
    assert decode(encode_options(replace(options, sack=blocks))) == replace(options, sack=blocks[:room])


def test_the_longest_announcement_beside_timestamps():
    """30 and 10 bytes, and none is left for padding (RFC 7323 appendix A recommends it, and no more)."""
    options = Options(ts_val=1, ts_ecr=2, mptcp=(AddAddr(3, V6, 8080, KEY_A),))
    raw = encode_options(options)
    assert raw.hex(" ", 1) == f"08 0a 00 00 00 01 00 00 00 02 1e 1e 30 03 {V6.hex(' ')} 1f 90 {KEY_A.hex(' ')}"
    assert decode(raw) == options


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit"):
        encode_options(Options(ts_val=1, dss=FULL_DSS, mptcp=(MpPrio(True),)))
