"""What a user can set about TCP."""

from dataclasses import dataclass, fields
from typing import Final

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000

MAXIMUM_SEGMENT_PAYLOAD: Final = 65535 - 40 - 60
"""Payload of the largest super-segment: one IPv6 packet with full TCP options. It fits one DSS mapping too."""

_WORDS: Final[dict[type, str]] = {int: "a whole number", bool: "True or False", str: "a text"}


@dataclass(frozen=True, kw_only=True)
class TcpConfig:
    """Settings of every TCP endpoint of a stack. Sizes in bytes, times in nanoseconds."""

    mtu: int = 1500
    maximum_segment_bytes: int = 65535
    """Payload of a segment at the most, both ways, its options included (RFC 9293 section 3.7.1): TCP_MAXSEG."""
    congestion: str = "cubic"
    """A name in ``congestion.ALGORITHMS`` or ``module:Class``."""
    send_buffer_bytes: int = 4 << 20
    """As much as tcp_wmem of Linux allows."""
    receive_buffer_bytes: int = 6 << 20
    """As much as tcp_rmem of Linux allowed before 6.16, which has 32 MiB."""
    send_buffer_autotuning: bool = False
    """Begin with a small send buffer that grows with the congestion windows, up to ``send_buffer_bytes``."""
    receive_buffer_autotuning: bool = False
    """Begin with a small window that grows with what is read in a round trip, up to ``receive_buffer_bytes``."""
    gso_max_bytes: int = MAXIMUM_SEGMENT_PAYLOAD
    """Payload of one super-segment at the most; anything below an MSS gives one wire packet a segment."""
    timestamps: bool = True
    sack: bool = True
    ecn: str = "accept"
    """Explicit congestion notification (RFC 3168): "off", "accept" if the peer asks for it, or "on", ask for it."""
    pacing: bool = True
    """Spread a window over the round trip on paths slower than a super-segment a millisecond."""
    cwnd_capping: bool = False
    """Let no congestion window grow while a round trip takes more than twice the shortest one (NSDI 2012, section
    4.2): more would only wait in a deep buffer on the way."""
    delayed_ack_ns: int = 40 * MILLISECOND_NS
    """Linux's least. RFC 9293 section 3.8.6.3 lets an acknowledgement wait for less than half a second."""
    time_wait_ns: int = 60 * SECOND_NS
    """Linux's. RFC 9293 section 3.4.2 has four minutes, for which a busy server would keep four times as many."""
    fin_timeout_ns: int = 60 * SECOND_NS
    """How long a closed connection waits for its peer's end of data: tcp_fin_timeout of Linux."""
    syn_retries: int = 6
    """tcp_syn_retries of Linux: two minutes without an answer."""
    data_retries: int = 15
    """Timeouts in a row, after which a peer is given up: tcp_retries2 of Linux."""
    orphan_retries: int = 8
    """The same once the application has closed, and only what it left is still to be delivered; as in Linux."""
    orphan_timeout_ns: int = 600 * SECOND_NS
    """How long a peer may keep its window closed after the application has closed."""
    keep_alive: bool = False
    """Ask a peer that was silent for long whether it is still there: SO_KEEPALIVE."""
    keep_alive_idle_ns: int = 7200 * SECOND_NS
    """The least that RFC 9293 section 3.8.4 allows as a default; as the next two it is Linux's."""
    keep_alive_interval_ns: int = 75 * SECOND_NS
    keep_alive_probes: int = 9
    """Unanswered in a row, after which the connection has timed out."""
    nodelay: bool = False
    """Send a small write at once although another one is not acknowledged yet: TCP_NODELAY."""

    def __post_init__(self) -> None:
        """Raises ValueError for what is not of a field's type: the compiled core takes nothing else."""
        for one in fields(self):
            kind = one.type
            if isinstance(kind, type) and kind in _WORDS and not isinstance(value := getattr(self, one.name), kind):
                raise ValueError(f"{one.name} {value!r}: not {_WORDS[kind]}")
