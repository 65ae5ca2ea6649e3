"""virtio_net_hdr on a little-endian machine's TUN device, both ways."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.wire import Checksum, Packet, Segment, WireError, encode, virtio


def packet(address_length: int, gso_size: int) -> Packet:
    payload = memoryview(bytes(3000))
    address = bytes(address_length)
    return encode(Segment(address, address, 1, 2, payload=[payload], length=3000, gso_size=gso_size))


# (address bytes, gso_size) -> flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
OUTGOING = {
    (4, 0): (1, 0, 0, 0, 20, 16),
    (16, 0): (1, 0, 0, 0, 40, 16),
    (4, 1400): (1, 1, 40, 1400, 20, 16),
    (16, 1400): (1, 4, 60, 1400, 40, 16),
}


@pytest.mark.parametrize(("case", "fields"), OUTGOING.items())
def test_outgoing(case, fields):
    header = virtio.pack(packet(*case))
    assert header == struct.pack("=BBHHHH", *fields)
    assert virtio.parse(header) == (Checksum.PARTIAL, case[1])


@pytest.mark.parametrize("state", [Checksum.NONE, Checksum.VALID])
def test_outgoing_complete(state):
    assert virtio.pack(Packet([bytes(40)], checksum=state)) == bytes(10)


def test_super_segment_needs_the_device_to_sum():
    with pytest.raises(ValueError, match="checksums"):
        virtio.pack(Packet([bytes(40)], gso_size=10))


# flags, gso_type, gso_size -> checksum state and gso_size
INCOMING = {
    (0, 0, 0): (Checksum.NONE, 0),
    (2, 0, 0): (Checksum.VALID, 0),
    (1, 0, 1400): (Checksum.PARTIAL, 0),
    (1, 1, 1400): (Checksum.PARTIAL, 1400),
    (1, 0x81, 1400): (Checksum.PARTIAL, 1400),
    (3, 4, 1400): (Checksum.PARTIAL, 1400),
}


@pytest.mark.parametrize(("fields", "parsed"), INCOMING.items())
def test_incoming(fields, parsed):
    flags, kind, gso_size = fields
    assert virtio.parse(struct.pack("=BBHHHH", flags, kind, 0, gso_size, 0, 0)) == parsed


@pytest.mark.parametrize("header", [b"", bytes(9), struct.pack("=BBHHHH", 1, 5, 0, 1400, 0, 0)])
def test_refused(header):
    with pytest.raises(WireError):
        virtio.parse(header)


@given(st.binary(max_size=12))
def test_any_bytes(header):
    try:
        virtio.parse(header)
    except WireError:
        return
