"""The MPTCP options (RFC 8684 section 3; version 0 forms of RFC 6824), one class each; `Dss` has its own
file.

`decode(body)` and `encode()` are inverse: `body` is the option without Kind and Length, so that its first
four bits are the subtype. `decode` raises WireError when lengths do not fit; `encode` trusts its caller.

What they do is elsewhere: of handshakes in ``mptcp.opening.handshake``, of others in ``mptcp.addresses.signals``, which
sends them and tells who acts on them. ``tests/unit/wire/strategies.py`` draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final, Self

from .dss import Dss
from .errors import WireError


class Subtype(IntEnum):
    """MPTCP option subtypes (RFC 8684 section 7.2)."""

    MP_CAPABLE = 0
    MP_JOIN = 1
    DSS = 2
    ADD_ADDR = 3
    REMOVE_ADDR = 4
    MP_PRIO = 5
    MP_FAIL = 6
    MP_FASTCLOSE = 7
    MP_TCPRST = 8


# Flags of MP_CAPABLE (RFC 8684 section 3.1).
CHECKSUM_REQUIRED: Final = 0x80
EXTENSIBILITY: Final = 0x40
NO_JOIN_TO_INITIAL_ADDRESS: Final = 0x20
HMAC: Final = 0x01  # HMAC-SHA256 in version 1, HMAC-SHA1 in version 0

_WORD: Final = Struct("!H")
_JOIN_SYN: Final = Struct("!BBI4s")
_JOIN_SYN_ACK: Final = Struct("!BB8s4s")
_BACKUP: Final = 0x01
_ECHO: Final = 0x01


@dataclass(slots=True)
class MpCapable:
    """Opens a connection (RFC 8684 section 3.1). What is present says which packet it is on.

    Version 1: no key on a SYN, the sender's on a SYN/ACK, both on the third ACK, and with data also
    `data_length` and, when negotiated, `checksum`. Version 0: the sender's key on SYN and SYN/ACK. Keys are
    8 bytes.
    """

    version: int
    flags: int
    sender_key: bytes | None = None
    receiver_key: bytes | None = None
    data_length: int | None = None
    checksum: int | None = None

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Lengths of the whole option: 4, 12, 20, 22 or 24."""
        size = len(body)
        if size not in (2, 10, 18, 20, 22):
            raise WireError("MP_CAPABLE length")
        return cls(
            body[0] & 15,
            body[1],
            body[2:10] if size >= 10 else None,
            body[10:18] if size >= 18 else None,
            _WORD.unpack_from(body, 18)[0] if size >= 20 else None,
            _WORD.unpack_from(body, 20)[0] if size >= 22 else None,
        )

    def encode(self) -> bytes:
        """Fields are left out from the first one that is None on."""
        body = bytes((Subtype.MP_CAPABLE << 4 | self.version, self.flags))
        if self.sender_key is None:
            return body
        body += self.sender_key
        if self.receiver_key is None:
            return body
        body += self.receiver_key
        if self.data_length is None:
            return body
        body += _WORD.pack(self.data_length)
        return body if self.checksum is None else body + _WORD.pack(self.checksum)


@dataclass(slots=True)
class MpJoinSyn:
    """MP_JOIN on a SYN (RFC 8684 section 3.2): the receiver's token and the sender's 4-byte nonce."""

    backup: bool
    address_id: int
    token: int
    nonce: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Length of the whole option: 12."""
        _expect(len(body) == 10, "MP_JOIN length")
        first, address_id, token, nonce = _JOIN_SYN.unpack(body)
        return cls(bool(first & _BACKUP), address_id, token, nonce)

    def encode(self) -> bytes:
        """12 bytes with Kind and Length."""
        return _JOIN_SYN.pack(Subtype.MP_JOIN << 4 | self.backup, self.address_id, self.token, self.nonce)


@dataclass(slots=True)
class MpJoinSynAck:
    """MP_JOIN on a SYN/ACK: the leftmost 8 bytes of the sender's HMAC and its 4-byte nonce."""

    backup: bool
    address_id: int
    hmac: bytes
    nonce: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Length of the whole option: 16."""
        _expect(len(body) == 14, "MP_JOIN length")
        first, address_id, hmac, nonce = _JOIN_SYN_ACK.unpack(body)
        return cls(bool(first & _BACKUP), address_id, hmac, nonce)

    def encode(self) -> bytes:
        """16 bytes with Kind and Length."""
        return _JOIN_SYN_ACK.pack(Subtype.MP_JOIN << 4 | self.backup, self.address_id, self.hmac, self.nonce)


@dataclass(slots=True)
class MpJoinAck:
    """MP_JOIN on the third ACK: the leftmost 20 bytes of the sender's HMAC."""

    hmac: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Length of the whole option: 24."""
        _expect(len(body) == 22, "MP_JOIN length")
        return cls(body[2:])

    def encode(self) -> bytes:
        """24 bytes with Kind and Length."""
        return bytes((Subtype.MP_JOIN << 4, 0)) + self.hmac


@dataclass(slots=True)
class AddAddr:
    """Announces an address (RFC 8684 section 3.4.1), 4 or 16 bytes, with a port if not that of the first
    subflow.

    The 8-byte `hmac` is on announcements and not on echoes. Neither `hmac` nor `echo`: the form of version
    0.
    """

    address_id: int
    address: bytes
    port: int | None = None
    hmac: bytes | None = None
    echo: bool = False

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Lengths of the whole option: 8, 10, 16, 18 for IPv4, 20, 22, 28, 30 for IPv6."""
        size = len(body)
        if size not in _ADD_ADDR_LAYOUTS:
            raise WireError("ADD_ADDR length")
        address_length, has_port, has_hmac = _ADD_ADDR_LAYOUTS[size]
        end = 2 + address_length
        return cls(
            body[1],
            body[2:end],
            _WORD.unpack_from(body, end)[0] if has_port else None,
            body[-8:] if has_hmac else None,
            bool(body[0] & _ECHO),
        )

    def encode(self) -> bytes:
        """Version 1, or version 0 when there is neither HMAC nor echo."""
        low = int(self.echo)
        if self.hmac is None and not self.echo:
            low = 4 if len(self.address) == 4 else 6
        port = b"" if self.port is None else _WORD.pack(self.port)
        head = bytes((Subtype.ADD_ADDR << 4 | low, self.address_id))
        return head + self.address + port + (self.hmac or b"")


# (address bytes, port present, HMAC present) by length without Kind and Length.
_ADD_ADDR_LAYOUTS: Final = {
    2 + address + 2 * port + 8 * hmac: (address, port, hmac)
    for address in (4, 16)
    for port in (False, True)
    for hmac in (False, True)
}


@dataclass(slots=True)
class RemoveAddr:
    """Takes announced addresses back by identifier (RFC 8684 section 3.4.2)."""

    address_ids: tuple[int, ...]

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """One identifier or more."""
        _expect(len(body) >= 2, "REMOVE_ADDR length")
        return cls(tuple(body[1:]))

    def encode(self) -> bytes:
        """3 bytes and one an identifier, with Kind and Length."""
        return bytes((Subtype.REMOVE_ADDR << 4, *self.address_ids))


@dataclass(slots=True)
class MpPrio:
    """Changes the backup priority of this subflow (RFC 8684 section 3.3.8), in version 0 of another
    `address_id`.
    """

    backup: bool
    address_id: int | None = None

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Lengths of the whole option: 3, or 4 in version 0."""
        _expect(len(body) in (1, 2), "MP_PRIO length")
        return cls(bool(body[0] & _BACKUP), body[1] if len(body) == 2 else None)

    def encode(self) -> bytes:
        """3 or 4 bytes with Kind and Length."""
        first = Subtype.MP_PRIO << 4 | self.backup
        return bytes((first,) if self.address_id is None else (first, self.address_id))


@dataclass(slots=True)
class MpFail:
    """Falls back after a checksum failure; `dsn` (64 bits) begins the failed mapping (RFC 8684 section
    3.7).
    """

    dsn: int

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Length of the whole option: 12."""
        _expect(len(body) == 10, "MP_FAIL length")
        return cls(int.from_bytes(body[2:], "big"))

    def encode(self) -> bytes:
        """12 bytes with Kind and Length."""
        return bytes((Subtype.MP_FAIL << 4, 0)) + self.dsn.to_bytes(8, "big")


@dataclass(slots=True)
class MpFastclose:
    """Aborts the connection (RFC 8684 section 3.5), proven by the receiver's 8-byte key."""

    receiver_key: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Length of the whole option: 12."""
        _expect(len(body) == 10, "MP_FASTCLOSE length")
        return cls(body[2:])

    def encode(self) -> bytes:
        """12 bytes with Kind and Length."""
        return bytes((Subtype.MP_FASTCLOSE << 4, 0)) + self.receiver_key


class ResetReason(IntEnum):
    """Reason codes of MP_TCPRST (RFC 8684 section 3.6)."""

    UNSPECIFIED = 0
    MPTCP = 1
    LACK_OF_RESOURCES = 2
    PROHIBITED = 3
    TOO_MUCH_DATA = 4
    PERFORMANCE = 5
    MIDDLEBOX = 6


TRANSIENT: Final = 0x1
"""Flag T of MP_TCPRST: what caused the reset may go away."""


@dataclass(slots=True)
class MpTcpRst:
    """Why a subflow is reset (RFC 8684 section 3.6): 4 bits of flags U V W T (T, 0x1, transient) and a
    reason code.
    """

    flags: int
    reason: int

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Length of the whole option: 4."""
        _expect(len(body) == 2, "MP_TCPRST length")
        return cls(body[0] & 15, body[1])

    def encode(self) -> bytes:
        """4 bytes with Kind and Length."""
        return bytes((Subtype.MP_TCPRST << 4 | self.flags, self.reason))


@dataclass(slots=True)
class UnknownMptcp:
    """A subtype we do not know; `body` is the option after Kind and Length, the subtype in its first four
    bits.
    """

    subtype: int
    body: bytes

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Any body of at least one byte."""
        _expect(len(body) >= 1, "MPTCP option length")
        return cls(body[0] >> 4, body)

    def encode(self) -> bytes:
        """The body as it is."""
        return self.body


MptcpOption = (
    MpCapable
    | MpJoinSyn
    | MpJoinSynAck
    | MpJoinAck
    | AddAddr
    | RemoveAddr
    | MpPrio
    | MpFail
    | MpFastclose
    | MpTcpRst
    | UnknownMptcp
)
"""Every MPTCP option but the DSS, which `Options` holds by itself."""


def decode_mptcp(body: bytes) -> MptcpOption | Dss:
    """The option that `body` (without Kind and Length) is; raises WireError when its length is wrong."""
    _expect(len(body) >= 1, "MPTCP option length")
    return _DECODERS.get(body[0] >> 4, UnknownMptcp.decode)(body)


def _expect(right: bool, what: str) -> None:
    if not right:
        raise WireError(what)


def _decode_capable(body: bytes) -> MpCapable | UnknownMptcp:
    # A later version may have other lengths; we must be able to answer it with ours (RFC 8684 section 3.1).
    known = body[0] & 15 <= 1 or len(body) == 2
    return MpCapable.decode(body) if known else UnknownMptcp.decode(body)


def _decode_join(body: bytes) -> MpJoinSyn | MpJoinSynAck | MpJoinAck:
    decode = _JOIN_BY_LENGTH.get(len(body))
    if decode is None:
        raise WireError("MP_JOIN length")
    return decode(body)


_JOIN_BY_LENGTH: Final[dict[int, Callable[[bytes], MpJoinSyn | MpJoinSynAck | MpJoinAck]]] = {
    10: MpJoinSyn.decode,
    14: MpJoinSynAck.decode,
    22: MpJoinAck.decode,
}

_DECODERS: Final[dict[int, Callable[[bytes], MptcpOption | Dss]]] = {
    Subtype.MP_CAPABLE: _decode_capable,
    Subtype.MP_JOIN: _decode_join,
    Subtype.DSS: Dss.decode,
    Subtype.ADD_ADDR: AddAddr.decode,
    Subtype.REMOVE_ADDR: RemoveAddr.decode,
    Subtype.MP_PRIO: MpPrio.decode,
    Subtype.MP_FAIL: MpFail.decode,
    Subtype.MP_FASTCLOSE: MpFastclose.decode,
    Subtype.MP_TCPRST: MpTcpRst.decode,
}
