"""What the Linux kernel sends: decoded to the right fields, and encoded again to the same bytes."""

import hashlib

import pytest

from mptcp_stack.wire import (
    ACK,
    PSH,
    SYN,
    AddAddr,
    Dss,
    MpCapable,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    Options,
    Packet,
    complete,
    data_checksum,
    decode,
    encode,
)
from tests.unit.wire import kernel_packets as kernel

CLIENT_KEY = bytes.fromhex("96fd0d8de4439dbd")
SERVER_KEY = bytes.fromhex("83ceaed11178cfe5")

SYN_OPTIONS = {"mss": 1460, "window_scale": 10, "sack_permitted": True}

# (packet, flags, options, payload)
VECTORS = {
    "MP_CAPABLE SYN": (
        kernel.MP_CAPABLE_SYN,
        SYN,
        Options(**SYN_OPTIONS, ts_val=274739479, mptcp=(MpCapable(1, 0x01),)),
        b"",
    ),
    "MP_CAPABLE SYN/ACK": (
        kernel.MP_CAPABLE_SYN_ACK,
        SYN | ACK,
        Options(**SYN_OPTIONS, ts_val=820826197, ts_ecr=274739479, mptcp=(MpCapable(1, 0x01, SERVER_KEY),)),
        b"",
    ),
    "MP_CAPABLE ACK": (
        kernel.MP_CAPABLE_ACK,
        ACK,
        Options(ts_val=274739479, ts_ecr=820826197, mptcp=(MpCapable(1, 0x01, CLIENT_KEY, SERVER_KEY),)),
        b"",
    ),
    "MP_CAPABLE with data": (
        kernel.MP_CAPABLE_DATA,
        ACK | PSH,
        Options(
            ts_val=1050159750,
            ts_ecr=2596927506,
            mptcp=(
                MpCapable(
                    1,
                    0x01,
                    bytes.fromhex("473a6cb25fe2a965"),
                    bytes.fromhex("3d1d719a22ed1d42"),
                    data_length=11,
                ),
            ),
        ),
        b"hello mptcp",
    ),
    "MP_CAPABLE with data and checksum": (
        kernel.MP_CAPABLE_DATA_CHECKSUM,
        ACK | PSH,
        Options(
            ts_val=3133737331,
            ts_ecr=1031324355,
            mptcp=(
                MpCapable(
                    1,
                    0x81,
                    bytes.fromhex("4ca4bea957ff6aa0"),
                    bytes.fromhex("90758d65dd6283dd"),
                    data_length=11,
                    checksum=0x804E,
                ),
            ),
        ),
        b"hello mptcp",
    ),
    "ADD_ADDR": (
        kernel.ADD_ADDR,
        ACK,
        Options(
            ts_val=820826197,
            ts_ecr=274739479,
            mptcp=(AddAddr(1, bytes((10, 0, 2, 2)), hmac=bytes.fromhex("da7a19bf10c64104")),),
        ),
        b"",
    ),
    "ADD_ADDR echo": (
        kernel.ADD_ADDR_ECHO,
        ACK,
        Options(ts_val=274739480, ts_ecr=820826197, mptcp=(AddAddr(1, bytes((10, 0, 2, 2)), echo=True),)),
        b"",
    ),
    "MP_JOIN SYN": (
        kernel.MP_JOIN_SYN,
        SYN,
        Options(
            **SYN_OPTIONS,
            ts_val=814124899,
            mptcp=(MpJoinSyn(False, 1, 0x50D9262F, bytes.fromhex("5e8f2bcb")),),
        ),
        b"",
    ),
    "MP_JOIN SYN/ACK": (
        kernel.MP_JOIN_SYN_ACK,
        SYN | ACK,
        Options(
            **SYN_OPTIONS,
            ts_val=1750369452,
            ts_ecr=814124899,
            mptcp=(MpJoinSynAck(False, 1, bytes.fromhex("5f94759ac7667d0f"), bytes.fromhex("e38834f2")),),
        ),
        b"",
    ),
    "MP_JOIN ACK": (
        kernel.MP_JOIN_ACK,
        ACK,
        Options(
            ts_val=814124899,
            ts_ecr=1750369452,
            mptcp=(MpJoinAck(bytes.fromhex("ffd9a062f5c54ab6080f75062772aacc62bc788e")),),
        ),
        b"",
    ),
    "DATA_ACK of 4 bytes": (
        kernel.DATA_ACK_32,
        ACK,
        Options(ts_val=1750369452, ts_ecr=814124899, dss=Dss(0x0DD0F693, data_ack_64=False)),
        b"",
    ),
    "DATA_ACK of 8 bytes": (
        kernel.DATA_ACK_64,
        ACK,
        Options(ts_val=820826498, ts_ecr=274739780, dss=Dss(0xB2FF78540DD0F69E)),
        b"",
    ),
    "data, DATA_ACK of 4 bytes": (
        kernel.DATA_32,
        ACK | PSH,
        Options(
            ts_val=274739780,
            ts_ecr=820826197,
            dss=Dss(0xD86EC267, False, 0xB2FF78540DD0F693, True, ssn=1, length=11),
        ),
        b"hello mptcp",
    ),
    "data, DATA_ACK of 8 bytes": (
        kernel.DATA_64,
        ACK | PSH,
        Options(
            ts_val=820826498,
            ts_ecr=274739780,
            dss=Dss(0xB2FF78540DD0F69E, dsn=0x56C1434DD86EC267, ssn=1, length=8),
        ),
        b"answer 1",
    ),
    "data with checksum": (
        kernel.DATA_64_CHECKSUM,
        ACK | PSH,
        Options(
            ts_val=1031324355,
            ts_ecr=3133737331,
            dss=Dss(0x502A42FC6087F63B, dsn=0xD8120A29D923B779, ssn=1, length=8, checksum=0x3294),
        ),
        b"answer 1",
    ),
    "DATA_FIN": (
        kernel.DATA_FIN,
        ACK,
        Options(
            ts_val=274740280,
            ts_ecr=820826998,
            dss=Dss(0x56C1434DD86EC297, dsn=0xB2FF78540DD0F6A4, ssn=0, length=1, data_fin=True),
        ),
        b"",
    ),
}


@pytest.mark.parametrize(("raw", "flags", "options", "payload"), VECTORS.values(), ids=VECTORS)
def test_decode(raw, flags, options, payload):
    segment = decode(Packet([raw]))
    assert segment.flags == flags
    assert segment.options == options
    assert b"".join(segment.payload) == payload
    assert segment.length == len(payload)
    assert segment.flow == raw[12:24]


@pytest.mark.parametrize("raw", [vector[0] for vector in VECTORS.values()], ids=VECTORS)
def test_encode_gives_the_bytes_of_the_kernel(raw):
    ident = int.from_bytes(raw[4:6], "big")
    assert complete(encode(decode(Packet([raw])), ident)) == raw


def test_fields_of_the_headers():
    segment = decode(Packet([kernel.DATA_64]))
    assert (segment.src, segment.dst) == (bytes((10, 0, 1, 2)), bytes((10, 0, 1, 1)))
    assert (segment.sport, segment.dport) == (8000, 45420)
    assert (segment.seq, segment.ack, segment.window) == (0xD852AE83, 0xBEED8020, 63)


def test_data_checksum_of_a_mapping():
    segment = decode(Packet([kernel.DATA_64_CHECKSUM]))
    dss = segment.options.dss
    assert data_checksum(dss.dsn, dss.ssn, dss.length, segment.payload) == dss.checksum


def test_data_checksum_of_mp_capable():
    """The mapping begins one after the initial DSN, the low 64 bits of the key's SHA-256 (RFC 8684 3.1)."""
    segment = decode(Packet([kernel.MP_CAPABLE_DATA_CHECKSUM]))
    (capable,) = segment.options.mptcp
    dsn = int.from_bytes(hashlib.sha256(capable.sender_key).digest()[-8:], "big") + 1
    assert data_checksum(dsn, 1, capable.data_length, segment.payload) == capable.checksum
