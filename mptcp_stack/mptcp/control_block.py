"""What all parts of a connection share: the MPTCP control block, as TCP has one of its own (RFC 9293 section 3.3.1)."""

from abc import ABC, abstractmethod
from enum import Enum, auto

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.mptcp.receiving import Receiving
from mptcp_stack.mptcp.services import StackServices
from mptcp_stack.tcp import Address
from mptcp_stack.wire import MpCapable


class Mode(Enum):
    """UNDECIDED until the handshake says whether both sides speak MPTCP; PLAIN is TCP, by choice or by fallback."""

    UNDECIDED = auto()
    MPTCP = auto()
    PLAIN = auto()


class ControlBlock(ABC):
    """The state of a connection that is no part's alone.

    ``active``: we have connected. ``established``: TCP's first handshake is complete. ``checksums``: all data have one
    (RFC 8684 section 3.3.1). ``error``: what ended the connection, if anything did. ``number``: by which observations
    name it.
    """

    def __init__(self, stack: StackServices, local: Address, remote: Address, active: bool, key: Key) -> None:
        self.stack = stack
        self.local = local
        self.remote = remote
        self.active = active
        self.mode = Mode.UNDECIDED
        self.error: OSError | None = None
        self.congestion_group: list[CongestionControl] = []
        self.local_key = key
        self.remote_key = key
        self.checksums = False
        self.flags = 0
        """Ours of MP_CAPABLE, and the peer's wish for checksums."""
        self.receiving = Receiving(stack.config.receive_buffer_bytes, stack.config.receive_buffer_autotuning)
        self.established = False
        self.number = next(stack.context.connection_numbers)

    @property
    def is_mptcp(self) -> bool:
        """Both sides speak MPTCP."""
        return self.mode is Mode.MPTCP

    @property
    def is_plain(self) -> bool:
        """It is TCP: MPTCP was not wanted, or not possible."""
        return self.mode is Mode.PLAIN

    @property
    def version(self) -> int:
        """Of MPTCP, as far as it is spoken."""
        return self.local_key.version

    @property
    def id(self) -> int:
        """A number that names the connection: our token (RFC 8684 section 3.1)."""
        return self.local_key.token

    def count(self, name: str) -> None:
        """Count an event under the kernel's name for it."""
        self.stack.context.counters[name] += 1

    def third_ack(self, first: Mapping | None = None) -> MpCapable:
        """MP_CAPABLE with both keys, as the initiator sends it (section 3.1), with or without the first data."""
        option = MpCapable(self.version, self.flags, self.local_key.value, self.remote_key.value)
        if first is not None:
            option.data_length, option.checksum = first.length, first.checksum
        return option

    @abstractmethod
    def begin(self, option: MpCapable, flags: int) -> None:
        """The handshake says that both sides speak MPTCP; ``option`` has the peer's key, ``flags`` are ours.

        Checksums are used if one side wants them (section 3.1).
        """

    @abstractmethod
    def fall_back(self, now: int) -> None:
        """From here on it is TCP."""

    @abstractmethod
    def wake(self) -> None:
        """Have ``output`` called at the next transmit."""
