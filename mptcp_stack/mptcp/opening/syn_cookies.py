"""SYN cookies: what a listener must know until the third ACK, kept by the peer (RFC 4987 section 3.6).

The initial sequence number of the SYN/ACK is the sum of the peer's, of a keyed hash of addresses, ports and a clock of
64 s, and of the MSS in its three first bits. Where the peer has timestamps, the six last bits of ours keep its window
scale and whether SACK and ECN are agreed; they make the timestamp at most 127 ms too old. Our MPTCP key is a keyed
hash, too, and a peer of version 1 sends it back with its own (RFC 8684 section 3.1), so that nothing of MPTCP is lost.

A guessed acknowledgement number is right with a probability of 2**-28: eight MSS values in two periods of the clock.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Final, NamedTuple

from mptcp_stack.mptcp.keys import KEY_BYTES, Key, same
from mptcp_stack.mptcp.opening.half_open import HalfOpen
from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp.ecn import SETUP_SYN, SETUP_SYN_ACK
from mptcp_stack.wire import SYN, MpCapable, Options, Segment

PERIOD_NS: Final = 64_000_000_000
"""About Linux's minute: with the one before, time for every retransmission of a third ACK that is worth an answer."""
LIFETIME_PERIODS: Final = 2
"""A cookie is good in the period it was made in and in the next."""
MSS_VALUES: Final = (88, 536, 1220, 1360, 1400, 1440, 1460, 8940)
"""The least that we take, the defaults of both versions of IP, Ethernet with and without tunnels, jumbo frames: what
lies between is rounded down, at the price of smaller segments. Linux has four for each version."""
KEY_ATTEMPTS: Final = 4
"""Keys to choose from when the token of the first one is in use."""

_MSS_SHIFT: Final = 29
_BELOW_MSS: Final = (1 << _MSS_SHIFT) - 1
_FIRST_WINDOW: Final = 65536
"""More than the window of a SYN/ACK (RFC 7323 section 2.2): the peer cannot have gone beyond."""
_SACK: Final = 0x10
_ECN: Final = 0x20
_SCALE_MASK: Final = 0xF
_NO_SCALE: Final = 0xF
_TIMESTAMP_MASK: Final = 0x3F
_COOKIE: Final = b"cookie"
_KEY: Final = b"mptcp key"


class _Found(NamedTuple):
    """A cookie: when it was made, which MSS, and how many bytes later than it should the segment begins."""

    period: int
    mss_index: int
    beyond: int


class SynCookies:
    """Makes cookies and reads them. ``secret`` (up to 64 bytes) makes them unforgeable; time is in nanoseconds."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    # --- out, on the SYN/ACK

    def sequence(self, syn: Segment, mss: int, now: int) -> int:
        """The initial sequence number for the answer to ``syn``; ``mss`` is what the peer offers."""
        index = max((number for number, value in enumerate(MSS_VALUES) if value <= mss), default=0)
        return (syn.seq + self._hidden(syn.flow, now // PERIOD_NS) + (index << _MSS_SHIFT)) & MASK_32

    def key(self, syn: Segment, version: int, now: int, in_use: Callable[[Key], bool]) -> Key | None:
        """Our key for a connection with MPTCP; None when all that could be taken have tokens that are in use."""
        keys = self._keys(syn.flow, syn.seq, now // PERIOD_NS, version)
        return next((key for key in keys if not in_use(key)), None)

    def keep_options(self, offered: Options, answer: Segment) -> None:
        """Put what was agreed upon into ``answer``, the SYN/ACK; what has no room there is not agreed."""
        ours = answer.options
        if ours.ts_val is None:
            ours.window_scale, ours.sack_permitted = None, False
            answer.flags &= ~SETUP_SYN_ACK
            return
        kept = _NO_SCALE if offered.window_scale is None else min(offered.window_scale, _NO_SCALE - 1)
        kept |= _SACK * ours.sack_permitted | _ECN * bool(answer.flags & SETUP_SYN_ACK)
        # Never in the future: the peer would take our next timestamps for old ones.
        back = (ours.ts_val - kept) & _TIMESTAMP_MASK
        ours.ts_val = (ours.ts_val - back) & MASK_32

    # --- in, with the third ACK

    def restore(self, ack: Segment, now: int) -> HalfOpen | None:
        """What a third ACK (or the first data, should that have been lost) brings back; None: it has no cookie.

        A key that is not ours makes it invalid, too; one that is ours vouches for a third ACK that is said again after
        data.
        """
        found = self._find(ack, now)
        if found is None:
            return None
        flow, peer_sequence, period = ack.flow, (ack.seq - 1 - found.beyond) & MASK_32, found.period
        syn = Segment(ack.src, ack.dst, ack.sport, ack.dport, peer_sequence, 0, SYN)
        if ack.options.ts_val is not None and ack.options.ts_ecr & _ECN:
            syn.flags |= SETUP_SYN
        syn.options = _restore_options(ack.options, MSS_VALUES[found.mss_index])
        capable = next((option for option in ack.options.mptcp if isinstance(option, MpCapable)), None)
        key = None
        if capable is not None and capable.receiver_key is not None:
            echoed = capable.receiver_key
            keys = self._keys(flow, peer_sequence, period, capable.version)
            key = next((key for key in keys if same(key.value, echoed)), None)
            if key is None:
                return None
            syn.options.mptcp = (replace(capable, receiver_key=None, data_length=None, checksum=None),)
        if found.beyond and key is None:
            return None
        return HalfOpen(syn, (ack.ack - 1) & MASK_32, key)

    def follows(self, segment: Segment, now: int) -> bool:
        """Whether a segment comes after one that has a cookie, and that was lost or overtaken on its way."""
        found = self._find(segment, now)
        return found is not None and found.beyond > 0

    def _find(self, segment: Segment, now: int) -> _Found | None:
        latest = now // PERIOD_NS
        for period in range(latest, latest - LIFETIME_PERIODS, -1):
            rest = segment.ack - segment.seq - self._hidden(segment.flow, period)
            beyond = -rest & _BELOW_MSS
            if beyond < _FIRST_WINDOW:
                return _Found(period, ((rest + beyond) & MASK_32) >> _MSS_SHIFT, beyond)
        return None

    def _hidden(self, flow: bytes, period: int) -> int:
        return int.from_bytes(self._hash(_COOKIE, 4, flow, period), "big")

    def _keys(self, flow: bytes, peer_sequence: int, period: int, version: int) -> Iterator[Key]:
        for attempt in range(KEY_ATTEMPTS):
            message = flow + peer_sequence.to_bytes(4, "big") + bytes([attempt])
            yield Key(self._hash(_KEY, KEY_BYTES, message, period), version)

    def _hash(self, person: bytes, size: int, message: bytes, period: int) -> bytes:
        message += period.to_bytes(8, "big", signed=True)
        return blake2b(message, digest_size=size, key=self._secret, person=person).digest()


def _restore_options(echoed: Options, mss: int) -> Options:
    options = Options(mss=mss, ts_val=echoed.ts_val)
    if echoed.ts_val is not None:
        scale = echoed.ts_ecr & _SCALE_MASK
        options.window_scale = None if scale == _NO_SCALE else scale
        options.sack_permitted = bool(echoed.ts_ecr & _SACK)
    return options
