"""Bytes to values and back: IP packets, TCP segments, options. No state, no I/O, no time.

`decode` and `encode` are the hot path; `complete` and `split` do in software what a device's offloads do.
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
