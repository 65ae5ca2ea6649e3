"""TCP options: MSS (RFC 9293), window scale and timestamps (RFC 7323), SACK (RFC 2018), MPTCP (RFC 8684).

Those of a SYN are chosen and read in ``tcp.endpoint`` and ``tcp.passive_open``, those of other segments by
``Endpoint`` and ``Receiver``. ``tests/unit/wire/strategies.py`` draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from . import dss as dss_option
from .checksum import Buffer
from .dss import FORM_BY_HEAD, KIND_MPTCP, Dss
from .errors import WireError
from .mptcp import MptcpOption, decode_mptcp

MAX_LENGTH: Final = 40

_END: Final = 0
_NOP: Final = 1
_MSS: Final = 2
_WINDOW_SCALE: Final = 3
_SACK_PERMITTED: Final = 4
_SACK: Final = 5
_TIMESTAMPS: Final = 8

_NOP_NOP_TS: Final = 0x0101080A
_TS_WORDS: Final = Struct("!III")
_TS: Final = Struct("!II")
_WORD: Final = Struct("!I")
_BLOCK: Final = Struct("!II")


@dataclass(slots=True, init=False)
class Options:
    """The options of one segment; None, False or empty: absent.

    `ts_ecr` counts only when `ts_val` is there. `sack` holds (left edge, right edge) sequence numbers, the
    most recent block first. `mptcp` holds all MPTCP options but the DSS, in their order.
    """

    mss: int | None
    window_scale: int | None
    sack_permitted: bool
    ts_val: int | None
    ts_ecr: int
    sack: tuple[tuple[int, int], ...]
    dss: Dss | None
    mptcp: tuple[MptcpOption, ...]

    def __init__(
        self,
        mss: int | None = None,
        window_scale: int | None = None,
        sack_permitted: bool = False,
        ts_val: int | None = None,
        ts_ecr: int = 0,
        sack: tuple[tuple[int, int], ...] = (),
        dss: Dss | None = None,
        mptcp: tuple[MptcpOption, ...] = (),
    ) -> None:
        self.mss = mss
        self.window_scale = window_scale
        self.sack_permitted = sack_permitted
        self.ts_val = ts_val
        self.ts_ecr = ts_ecr
        self.sack = sack
        self.dss = dss
        self.mptcp = mptcp


def decode_options(buffer: Buffer, start: int, end: int) -> Options:
    """The options in `buffer[start:end]`, unknown ones skipped; raises WireError for an impossible length.

    Of an option that is there twice the last one counts.
    """
    size = end - start
    if size >= 12:
        words, ts_val, ts_ecr = _TS_WORDS.unpack_from(buffer, start)
        if words == _NOP_NOP_TS:
            # The layouts of nearly every segment after the handshake: timestamps, then a DSS or nothing.
            if size == 12:
                return Options(ts_val=ts_val, ts_ecr=ts_ecr)
            form = FORM_BY_HEAD.get(_WORD.unpack_from(buffer, start + 12)[0])
            if form is not None and size == 12 + form.padded_length and form.is_padded(buffer, end):
                return Options(ts_val=ts_val, ts_ecr=ts_ecr, dss=form.unpack(buffer, start + 12))
    return _decode_each(bytes(buffer[start:end])) if size else Options()


def _decode_each(raw: bytes) -> Options:
    options = Options()
    at = 0
    end = len(raw)
    while at < end:
        kind = raw[at]
        if kind == _END:
            break
        if kind == _NOP:
            at += 1
            continue
        if at + 1 == end:
            raise WireError("option truncated")
        length = raw[at + 1]
        if length < 2 or at + length > end:
            raise WireError("option length out of range")
        decode = _DECODERS.get(kind)
        if decode is not None:
            decode(options, raw[at + 2 : at + length])
        at += length
    return options


def _decode_mss(options: Options, body: bytes) -> None:
    _expect_length(body, 2)
    options.mss = int.from_bytes(body, "big")


def _decode_window_scale(options: Options, body: bytes) -> None:
    _expect_length(body, 1)
    options.window_scale = body[0]


def _decode_sack_permitted(options: Options, body: bytes) -> None:
    _expect_length(body, 0)
    options.sack_permitted = True


def _decode_sack(options: Options, body: bytes) -> None:
    if not body or len(body) % 8:
        raise WireError("SACK length")
    options.sack = tuple(_BLOCK.iter_unpack(body))


def _decode_timestamps(options: Options, body: bytes) -> None:
    _expect_length(body, 8)
    options.ts_val, options.ts_ecr = _TS.unpack(body)


def _decode_mptcp(options: Options, body: bytes) -> None:
    option = decode_mptcp(body)
    if isinstance(option, Dss):
        options.dss = option
    else:
        options.mptcp += (option,)


def _expect_length(body: bytes, length: int) -> None:
    if len(body) != length:
        raise WireError("option length")


_DECODERS: Final[dict[int, Callable[[Options, bytes], None]]] = {
    _MSS: _decode_mss,
    _WINDOW_SCALE: _decode_window_scale,
    _SACK_PERMITTED: _decode_sack_permitted,
    _SACK: _decode_sack,
    _TIMESTAMPS: _decode_timestamps,
    KIND_MPTCP: _decode_mptcp,
}


def encode_options(options: Options) -> bytes:
    """The options as bytes, a multiple of 4, at most 40.

    A SYN has Linux's order (MSS, SACK-permitted and timestamps, window scale, MPTCP); others begin with NOP
    NOP timestamps, then MPTCP options, each padded with NOPs, then as many SACK blocks as there is room
    for. Where that is too much, as the longest ADD_ADDR beside timestamps, they go without NOPs between. Raises
    ValueError when the options but the SACK blocks do not fit.
    """
    opening = options.mss is not None or options.window_scale is not None or options.sack_permitted
    if opening:
        raw = _encode_syn(options)
    elif options.ts_val is None:
        raw = b""
    else:
        raw = _TS_WORDS.pack(_NOP_NOP_TS, options.ts_val, options.ts_ecr)
    if options.dss is not None:
        raw += dss_option.pack(options.dss)
    for option in options.mptcp:
        raw += _pad(KIND_MPTCP, option.encode())
    if len(raw) > MAX_LENGTH and not opening:
        raw = _encode_tight(options)
    if len(raw) > MAX_LENGTH:
        raise ValueError(f"{len(raw)} bytes of options do not fit in {MAX_LENGTH}")
    return raw + _encode_sack(options.sack, MAX_LENGTH - len(raw)) if options.sack else raw


def _encode_syn(options: Options) -> bytes:
    raw = b"" if options.mss is None else b"%c\x04%b" % (_MSS, options.mss.to_bytes(2, "big"))
    # Linux puts SACK-permitted where the two NOPs before the timestamps are.
    sack_permitted = bytes((_SACK_PERMITTED, 2))
    if options.ts_val is not None:
        lead = sack_permitted if options.sack_permitted else bytes((_NOP, _NOP))
        raw += lead + bytes((_TIMESTAMPS, 10)) + _TS.pack(options.ts_val, options.ts_ecr)
    elif options.sack_permitted:
        raw += bytes((_NOP, _NOP)) + sack_permitted
    if options.window_scale is not None:
        raw += bytes((_NOP, _WINDOW_SCALE, 3, options.window_scale))
    return raw


def _encode_tight(options: Options) -> bytes:
    raw = b"" if options.ts_val is None else bytes((_TIMESTAMPS, 10)) + _TS.pack(options.ts_val, options.ts_ecr)
    if options.dss is not None:
        raw += dss_option.pack(options.dss)
    for body in (option.encode() for option in options.mptcp):
        raw += bytes((KIND_MPTCP, len(body) + 2)) + body
    return raw + bytes((_NOP,)) * (-len(raw) % 4)


def _encode_sack(blocks: tuple[tuple[int, int], ...], room: int) -> bytes:
    blocks = blocks[: max(0, (room - 4) // 8)]
    if not blocks:
        return b""
    head = bytes((_NOP, _NOP, _SACK, 2 + 8 * len(blocks)))
    return head + b"".join(_BLOCK.pack(left, right) for left, right in blocks)


def _pad(kind: int, body: bytes) -> bytes:
    length = len(body) + 2
    return bytes((kind, length)) + body + bytes((_NOP,)) * (-length % 4)
