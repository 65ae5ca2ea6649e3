"""What a user can set about MPTCP; about TCP it is in ``tcp.config``.

A field is a setting by its name: an argument of ``NetworkConfig``, ``--set name=value``, and ``+name=value`` behind a
stack under test. Its type and the unit in its name say how it is written (``runtime.settings``).
"""

from dataclasses import dataclass
from typing import Final

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.tcp.config import MILLISECOND_NS, SECOND_NS, TcpConfig
from mptcp_stack.tcp.ecn import ECN_CHOICES

SYN_COOKIES: Final = ("off", "overflow", "always")
FASTCLOSE: Final = ("rst", "ack")
UNLIMITED: Final = 1 << 30
"""More often than anything happens in the life of a connection."""
CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "ecn": ECN_CHOICES,
    "syn_cookies": SYN_COOKIES,
    "fastclose": FASTCLOSE,
    "dsn_bits": (32, 64),
    "mptcp_version": (0, 1),
    "mptcp_minimum_version": (0, 1),
}
"""The values of the settings that have few."""


@dataclass(frozen=True, kw_only=True)
class MptcpConfig(TcpConfig):
    """Settings of every MPTCP connection of a stack. Sizes in bytes, times in nanoseconds."""

    congestion: str = "lia"
    mptcp: bool = True
    """Offer and accept MPTCP; a connection can say otherwise."""
    syn_cookies: str = "overflow"
    """One of ``SYN_COOKIES``: when a listener answers SYNs with a cookie and keeps nothing."""
    scheduler: str = "lowest-rtt"
    path_manager: str = "fullmesh"
    opportunistic_retransmission: bool = True
    """When the peer's window is full, send the data that holds it up again on a faster subflow (NSDI 2012)."""
    penalisation: bool = True
    """When the peer's window is full, halve the window of the subflow that holds it up (NSDI 2012)."""
    max_subflows: int = 8
    """The largest limit that Linux's path manager takes; it also bounds what a peer can make us open."""
    max_addresses_accepted: int = 8
    """Announced addresses of one peer that are remembered; further ones are answered and forgotten."""
    mptcp_version: int = 1
    """The highest version that is spoken, and offered by a client: 1 (RFC 8684) or 0 (RFC 6824)."""
    mptcp_minimum_version: int = 1
    """The lowest version that a server accepts; its answer is the highest that both speak."""
    fastclose: str = "rst"
    """One of ``FASTCLOSE``: what carries MP_FASTCLOSE (RFC 8684 section 3.5). Version 0 knows the ACK alone."""
    dss_checksum: bool = False
    """Ask for checksums of all data (RFC 8684 section 3.3.1); they are used as well if the peer asks."""
    dsn_bits: int = 64
    """Of the data sequence numbers and acknowledgements that are sent, 32 or 64 (RFC 8684 section 3.3.1): 32
    where 2**32 bytes take longer than a segment may live. Both are always understood."""
    allow_join_initial_address: bool = True
    """False: ask the peer for no further subflows to the address that the connection began with (flag C)."""
    transparent: bool = False
    """Answer for every address, not only our own: for TCP that comes through this host (a proxy on the way)."""
    mptcp_syn_attempts: int = 3
    """SYNs that carry MP_CAPABLE before one without is tried (RFC 8684 section 3.1): as many as with Linux, where two
    retransmissions do (syn_retrans_before_tcp_fallback)."""
    add_addr_retries: int = 3
    """How often an ADD_ADDR without an echo is sent again; as in Linux."""
    add_addr_timeout_ns: int = SECOND_NS
    """Chosen: the wait for an echo, doubled each time; the next announcement waits with it. Linux has up to 120 s."""
    passive_close: bool = True
    """Leave closing the subflows to the side that sent its DATA_FIN first, so that TIME-WAIT stays there."""
    passive_close_timeout_ns: int = 3 * SECOND_NS
    """Chosen: a FIN of the peer may be lost once or twice; after that we close first, and have TIME-WAIT here."""
    join_confirm_timeout_ns: int = 500 * MILLISECOND_NS
    """Chosen: longer than nearly every round trip, and than any acknowledgement is delayed."""
    join_retries: int = UNLIMITED
    """How often a path manager tries again to open a subflow; as a rule for as long as the connection lives."""
    join_retry_ns: int = SECOND_NS
    """After what time it first does so; each time after twice as long."""
    join_retry_maximum_ns: int = 15 * SECOND_NS
    """The longest such time: a quarter of ``close_timeout_ns``, so that who waits for a subflow tries to the end."""
    close_timeout_ns: int = 60 * SECOND_NS
    """How long a connection without any subflow waits for one (break before make), as Linux does; 0: not at all."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        super().__post_init__()
        for name, choices in CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} {value!r}: not one of {', '.join(map(str, choices))}")


@dataclass(frozen=True, kw_only=True)
class StackConfig(MptcpConfig):
    """Everything a user can set. ``addresses`` in order of preference; an ``address_id`` of 0 becomes a free one."""

    addresses: tuple[LocalAddress, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "addresses", tuple(self.addresses))
