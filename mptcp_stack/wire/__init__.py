"""Bytes to values and back: IP packets, TCP segments, options. No state, no I/O, no time.

Rules:

1. Whatever bytes come in, `decode` gives a segment or raises `WireError`, which is counted and not shown to anybody.
2. `encode` trusts its caller, and raises ValueError for what no field can hold.
3. No payload is copied: a segment's are views of the packet that came, a packet's parts are those views again.
4. Numbers are as on the wire, 32 or 64 bits; who keeps state unwraps them (`storage.expand_32`).
5. A packet may be a super-segment of up to 64 KB, as between Linux's TCP and a network card. Its checksum says whether
   it is complete, left to the device, or verified by it.

How it works. `decode`: the IP header (`ipv4`, `ipv6`), the TCP header, and options; those of nearly every segment,
timestamps and one DSS, are read by precompiled forms (`dss`), all others one by one (`options`, `mptcp`). Parts of
packets and ICMP errors raise what says so, and have readers of their own (`fragments`, `icmp`). `encode` goes the other
way. `complete` and `split` do in software what a device's offloads do, and `virtio` is the header by which Linux asks
for them.
"""

from .checksum import Buffer, checksum, data_checksum, ones_sum
from .dss import Dss
from .errors import ChecksumError, FragmentError, HeaderChainError, OtherProtocolError, WireError
from .fragments import Fragment, fragment, join, read_fragment
from .icmp import IcmpError, Trouble, decode_icmp
from .mptcp import (
    CHECKSUM_REQUIRED,
    EXTENSIBILITY,
    HMAC,
    NO_JOIN_TO_INITIAL_ADDRESS,
    TRANSIENT,
    AddAddr,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcpRst,
    RemoveAddr,
    ResetReason,
    Subtype,
    UnknownMptcp,
)
from .options import Options
from .packet import Checksum, Packet, complete, split
from .tcp import ACK, CWR, ECE, FIN, MAX_PACKET_LENGTH, PSH, RST, SYN, URG, Segment, decode, encode

__all__ = [
    "ACK",
    "CHECKSUM_REQUIRED",
    "CWR",
    "ECE",
    "EXTENSIBILITY",
    "FIN",
    "HMAC",
    "MAX_PACKET_LENGTH",
    "NO_JOIN_TO_INITIAL_ADDRESS",
    "PSH",
    "RST",
    "SYN",
    "TRANSIENT",
    "URG",
    "AddAddr",
    "Buffer",
    "Checksum",
    "ChecksumError",
    "Dss",
    "Fragment",
    "FragmentError",
    "HeaderChainError",
    "IcmpError",
    "MpCapable",
    "MpFail",
    "MpFastclose",
    "MpJoinAck",
    "MpJoinSyn",
    "MpJoinSynAck",
    "MpPrio",
    "MpTcpRst",
    "MptcpOption",
    "Options",
    "OtherProtocolError",
    "Packet",
    "RemoveAddr",
    "ResetReason",
    "Segment",
    "Subtype",
    "Trouble",
    "UnknownMptcp",
    "WireError",
    "checksum",
    "complete",
    "data_checksum",
    "decode",
    "decode_icmp",
    "encode",
    "fragment",
    "join",
    "ones_sum",
    "read_fragment",
    "split",
]  # fmt: skip
