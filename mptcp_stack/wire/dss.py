"""The Data Sequence Signal option (RFC 8684 section 3.3): the one MPTCP option of the hot path.

Its fields follow from its flags and length alone, so every form is one row of a table with a precompiled
Struct for the whole option, padded with NOPs to a multiple of 4 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from .checksum import Buffer
from .errors import WireError

KIND_MPTCP: Final = 30
SUBTYPE_DSS: Final = 2

DATA_FIN: Final = 0x10
DSN_64: Final = 0x08
DSN: Final = 0x04
DATA_ACK_64: Final = 0x02
DATA_ACK: Final = 0x01

_FLAGS: Final = 0x1F
_CHECKSUM: Final = 0x20  # not on the wire, where the length tells it: marks the forms with a checksum
_MASK_32: Final = 0xFFFFFFFF


@dataclass(slots=True, init=False)
class Dss:
    """A data acknowledgement, a mapping, or both; `data_ack` and `dsn` are None when absent.

    `dsn` is the data sequence number of the first byte mapped, `ssn` its relative subflow sequence number
    (1 is the first byte after the SYN), `length` the data-level length in bytes, counting the DATA_FIN when
    `data_fin` is set. Numbers of the 4-byte forms (`*_64` False) are cut to their low 32 bits when encoded.
    """

    data_ack: int | None
    data_ack_64: bool
    dsn: int | None
    dsn_64: bool
    ssn: int
    length: int
    checksum: int | None
    data_fin: bool

    def __init__(
        self,
        data_ack: int | None = None,
        data_ack_64: bool = True,
        dsn: int | None = None,
        dsn_64: bool = True,
        ssn: int = 0,
        length: int = 0,
        checksum: int | None = None,
        data_fin: bool = False,
    ) -> None:
        self.data_ack = data_ack
        self.data_ack_64 = data_ack_64
        self.dsn = dsn
        self.dsn_64 = dsn_64
        self.ssn = ssn
        self.length = length
        self.checksum = checksum
        self.data_fin = data_fin

    @classmethod
    def decode(cls, body: bytes) -> Dss:
        """From the option's bytes after Kind and Length; raises WireError when flags and length disagree."""
        form = FORM_BY_HEAD.get(_head(len(body) + 2, body[1] & _FLAGS)) if len(body) >= 2 else None
        if form is None:
            raise WireError("DSS length")
        return form.unpack(b"%c%c%b%b" % (KIND_MPTCP, len(body) + 2, body, form.padding), 0)

    def encode(self) -> bytes:
        """The option's bytes after Kind and Length."""
        padded = pack(self)
        return padded[2 : padded[1]]


class Form:
    """One layout of the option: which fields it has, from `flags` (with _CHECKSUM)."""

    __slots__ = (
        "data_ack_64", "data_fin", "dsn_64", "fields", "has_checksum", "has_data_ack", "head", "mapping_at",
        "padded_length", "padding",
    )  # fmt: skip

    def __init__(self, flags: int) -> None:
        self.has_data_ack = bool(flags & DATA_ACK)
        # A size bit says something only about a number that is there.
        self.data_ack_64 = bool(flags & DATA_ACK_64) or not self.has_data_ack
        self.mapping_at = (1 + self.has_data_ack) if flags & DSN else 0
        self.dsn_64 = bool(flags & DSN_64) or not self.mapping_at
        self.has_checksum = bool(flags & _CHECKSUM)
        self.data_fin = bool(flags & DATA_FIN)
        fields = "!I" + ("Q" if self.data_ack_64 else "I") * self.has_data_ack
        if self.mapping_at:
            fields += ("Q" if self.dsn_64 else "I") + "IH" + "H" * self.has_checksum
        length = Struct(fields).size
        self.head = _head(length, flags & _FLAGS)
        self.padding = b"\x01" * (-length % 4)
        self.padded_length = length + len(self.padding)
        self.fields = Struct(f"{fields}{len(self.padding)}s")

    def is_padded(self, buffer: Buffer, end: int) -> bool:
        """Whether an option of this form that ends with its padding at `end` is padded with NOPs."""
        return buffer[end - len(self.padding) : end] == self.padding

    def unpack(self, buffer: Buffer, offset: int) -> Dss:
        """The values of a padded option of this form."""
        values = self.fields.unpack_from(buffer, offset)
        data_ack = values[1] if self.has_data_ack else None
        at = self.mapping_at
        if not at:
            return Dss(data_ack, self.data_ack_64, data_fin=self.data_fin)
        return Dss(
            data_ack, self.data_ack_64, values[at], self.dsn_64, values[at + 1], values[at + 2],
            values[at + 3] if self.has_checksum else None, self.data_fin,
        )  # fmt: skip


def pack(dss: Dss) -> bytes:
    """The whole option, Kind and Length included, padded with NOPs to a multiple of 4 bytes."""
    flags = DATA_FIN if dss.data_fin else 0
    values: list[int] = []
    data_ack = dss.data_ack
    if data_ack is not None:
        flags |= DATA_ACK | DATA_ACK_64 if dss.data_ack_64 else DATA_ACK
        values.append(data_ack if dss.data_ack_64 else data_ack & _MASK_32)
    dsn = dss.dsn
    if dsn is not None:
        flags |= DSN | DSN_64 if dss.dsn_64 else DSN
        values += (dsn if dss.dsn_64 else dsn & _MASK_32, dss.ssn, dss.length)
        if dss.checksum is not None:
            flags |= _CHECKSUM
            values.append(dss.checksum)
    form = _FORMS[flags]
    return form.fields.pack(form.head, *values, form.padding)


def _head(length: int, flags: int) -> int:
    return KIND_MPTCP << 24 | length << 16 | SUBTYPE_DSS << 12 | flags


# A checksum comes with a mapping only (RFC 8684 section 3.3).
_FORMS: Final = {flags: Form(flags) for flags in range(0x40) if flags & DSN or not flags & _CHECKSUM}

FORM_BY_HEAD: Final = {form.head: form for form in _FORMS.values()}
"""Form by the first 4 bytes of the option as a big-endian integer, reserved bits zero."""
