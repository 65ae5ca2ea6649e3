"""The MPTCP options of captured segments, of version 1 and 0 (RFC 8684 section 3, RFC 6824)."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha1, sha256
from typing import Final, NamedTuple

from analysis import capture
from analysis.capture import ACK, SYN, Segment
from analysis.sequence_numbers import unwrap

ADD_ADDR, MP_PRIO, MP_FAIL, MP_FASTCLOSE, MP_TCPRST = 3, 5, 6, 7, 8
"""Subtypes (RFC 8684 section 8), beside those of `capture`."""
_NO_MORE: Final = 0x20
"""Flag C of MP_CAPABLE: not to be joined at the address that it came from (section 3.1)."""
_BACKUP: Final = 0x01
_DATA_FIN, _DSN_64, _DSN, _DATA_ACK_64, _DATA_ACK = 0x10, 0x08, 0x04, 0x02, 0x01
"""Flags of a DSS (RFC 8684 section 3.3)."""
_REASONS: Final = (
    "unspecified", "MPTCP-specific error", "lack of resources", "administratively prohibited",
    "too much outstanding data", "unacceptable performance", "middlebox interference",
)  # fmt: skip
"""Of MP_TCPRST, by number (section 3.6)."""


class Capable(NamedTuple):
    """MP_CAPABLE: the keys it has (the sender's first), and whether the sender's address may be joined."""

    version: int
    keys: tuple[bytes, ...]
    joinable: bool


class Join(NamedTuple):
    """MP_JOIN of a SYN (`token`, `nonce`), a SYN/ACK (`hmac`, `nonce`) or what follows (`hmac`)."""

    backup: bool
    token: int | None
    nonce: bytes
    hmac: bytes


class Announced(NamedTuple):
    """ADD_ADDR: `port` 0 where it names none, `hmac` empty in version 0 and in an echo."""

    echo: bool
    address_id: int
    ip: bytes
    port: int
    hmac: bytes


def bodies(segment: Segment, subtype: int) -> Iterator[bytes]:
    """Return the MPTCP options of a segment that are of a subtype, without kind and length."""
    return (body for body in _mptcp(segment.options) if body[0] >> 4 == subtype)


@lru_cache(maxsize=1 << 17)
def _mptcp(text: bytes) -> tuple[bytes, ...]:
    """Return the MPTCP options among those of a header: every rule asks for them, of every packet."""
    return tuple(body for kind, body in capture.options(text) if kind == capture.OPTION_MPTCP and body)


def has(segment: Segment, subtype: int) -> bool:
    """Return whether a segment carries an option of a subtype."""
    return any(True for _ in bodies(segment, subtype))


def speaks(segment: Segment) -> bool:
    """Return whether a segment carries anything of MPTCP."""
    return bool(_mptcp(segment.options))


def capable(segment: Segment) -> Capable | None:
    """Return the MP_CAPABLE of a segment."""
    for body in bodies(segment, capture.MP_CAPABLE):
        if len(body) >= 2:
            keys = tuple(body[place : place + 8] for place in (2, 10) if len(body) >= place + 8)
            return Capable(body[0] & 15, keys, not body[1] & _NO_MORE)
    return None


def join(segment: Segment) -> Join | None:
    """Return the MP_JOIN of a segment."""
    for body in bodies(segment, capture.MP_JOIN):
        backup = bool(body[0] & _BACKUP)
        if segment.flags & SYN and not segment.flags & ACK and len(body) >= 10:
            return Join(backup, int.from_bytes(body[2:6], "big"), body[6:10], b"")
        if segment.flags & SYN and len(body) >= 14:
            return Join(backup, None, body[10:14], body[2:10])
        if not segment.flags & SYN and len(body) >= 22:
            return Join(False, None, b"", body[2:22])
    return None


def announced(segment: Segment, version: int) -> Iterator[Announced]:
    """Return the ADD_ADDRs of a segment; `version` of MPTCP."""
    for body in bodies(segment, ADD_ADDR):
        signature = 8 if version and not body[0] & 1 else 0
        size = next((size for size in (4, 16) if len(body) - 2 - signature in (size, size + 2)), 0)
        if size:
            port = int.from_bytes(body[2 + size : len(body) - signature], "big")
            signed_by = body[len(body) - signature :] if signature else b""
            yield Announced(bool(version and body[0] & 1), body[1], body[2 : 2 + size], port, signed_by)


def priority(segment: Segment) -> bool | None:
    """Return what an MP_PRIO makes of the subflow: backup or not; None without one."""
    return next((bool(body[0] & _BACKUP) for body in bodies(segment, MP_PRIO)), None)


def reset_reason(segment: Segment) -> str:
    """Return what the MP_TCPRST of a reset says, in words; empty without one."""
    for body in bodies(segment, MP_TCPRST):
        if len(body) > 1:
            name = _REASONS[body[1]] if body[1] < len(_REASONS) else f"number {body[1]}"
            return f"{name}{', for now' if body[0] & 1 else ''}"
    return ""


def ends_data(segment: Segment) -> bool:
    """Return whether a segment has the end of the connection's data."""
    return any(len(body) > 1 and body[1] & _DATA_FIN for body in bodies(segment, capture.DSS))


def maps_without_end(segment: Segment) -> bool:
    """Return whether a segment has an infinite mapping (section 3.7): with that the connection goes on as TCP."""
    mappings = map(mapping_of, bodies(segment, capture.DSS))
    return bool(segment.payload_bytes) and any(mapping is not None and not mapping[3] for mapping in mappings)


def data_ack_of(body: bytes) -> tuple[int, int] | None:
    """Return the DATA_ACK of a DSS and its number of bits."""
    if len(body) < 2 or not body[1] & _DATA_ACK:
        return None
    size = 8 if body[1] & _DATA_ACK_64 else 4
    if len(body) < 2 + size:
        return None
    return int.from_bytes(body[2 : 2 + size], "big"), size * 8


def mapping_of(body: bytes) -> tuple[int, int, int, int] | None:
    """Return the dsn of a DSS, its number of bits, the ssn and the length (DATA_FIN included)."""
    if len(body) < 2 or not body[1] & _DSN:
        return None
    acknowledgement = (8 if body[1] & _DATA_ACK_64 else 4) if body[1] & _DATA_ACK else 0
    size = 8 if body[1] & _DSN_64 else 4
    dsn, ssn, length = 2 + acknowledgement, 2 + acknowledgement + size, 2 + acknowledgement + size + 4
    if len(body) < length + 2:
        return None
    return (
        int.from_bytes(body[dsn:ssn], "big"), size * 8,
        int.from_bytes(body[ssn:length], "big"), int.from_bytes(body[length : length + 2], "big"),
    )  # fmt: skip


def first_dsn(key: bytes, version: int) -> int:
    """Return the initial data sequence number of a key (section 3.1): the first byte has the next."""
    return int.from_bytes((sha256 if version else sha1)(key).digest()[-8:], "big")


def mapped(segment: Segment, first: int, near: int) -> Iterator[tuple[int, int]]:
    """Return where the data of a segment's mapping begin in the stream, from 1, and how many they are."""
    if not segment.payload_bytes:
        return
    for body in bodies(segment, capture.MP_CAPABLE):
        if len(body) >= 18:
            yield 1, int.from_bytes(body[18:20], "big") or segment.payload_bytes
    for body in bodies(segment, capture.DSS):
        if (mapping := mapping_of(body)) is not None:
            dsn, bits, _, length = mapping
            yield unwrap(dsn - first, bits, near), length - bool(body[1] & _DATA_FIN)


def data_acked(segment: Segment, first: int, near: int) -> Iterator[int]:
    """Return up to where in the stream a segment acknowledges data."""
    for body in bodies(segment, capture.DSS):
        if (told := data_ack_of(body)) is not None:
            number, bits = told
            yield unwrap(number - first, bits, near)


def signed(own: bytes, other: bytes, message: bytes, version: int) -> bytes:
    """Return the HMAC by which the side with key `own` signs (sections 3.2 and 3.4.1)."""
    return hmac.digest(own + other, message, sha256 if version else sha1)


def token(key: bytes, version: int) -> int:
    """Return the token of a key (section 3.1)."""
    return int.from_bytes((sha256 if version else sha1)(key).digest()[:4], "big")
