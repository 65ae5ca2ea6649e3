"""The handshakes of a subflow, one class for each role (RFC 8684 sections 3.1 and 3.2)."""

from abc import ABC, abstractmethod
from typing import TypeVar

from typing_extensions import override

from mptcp_stack.mptcp.config import MptcpConfig
from mptcp_stack.mptcp.control_block import ControlBlock
from mptcp_stack.mptcp.keys import NONCE_BYTES, join_hmac, same
from mptcp_stack.wire import (
    CHECKSUM_REQUIRED,
    EXTENSIBILITY,
    HMAC,
    NO_JOIN_TO_INITIAL_ADDRESS,
    MpCapable,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MptcpOption,
    Options,
    Segment,
    Subtype,
    UnknownMptcp,
)

Option = TypeVar("Option")


def offer_flags(config: MptcpConfig, version: int) -> int:
    """Our flags of MP_CAPABLE (RFC 8684 section 3.1); version 0 has no C."""
    flags = HMAC
    if config.dss_checksum:
        flags |= CHECKSUM_REQUIRED
    if not config.allow_join_initial_address and version > 0:
        flags |= NO_JOIN_TO_INITIAL_ADDRESS
    return flags


def answer(options: Options, config: MptcpConfig) -> MpCapable | None:
    """What our SYN/ACK says to a SYN, our key aside; None: it offers no MPTCP that we speak.

    The version is the highest of ours that is not above the peer's (section 3.1).
    """
    offered = _offered_version(options) if config.mptcp else -1
    version = min(offered, config.mptcp_version)
    offer = find(options, MpCapable)
    if version < config.mptcp_minimum_version or (offer is not None and not _understood(offer)):
        return None
    if version == 0 and (offer is None or offer.sender_key is None):
        return None
    checksums = offer.flags & CHECKSUM_REQUIRED if offer is not None else 0
    return MpCapable(version, offer_flags(config, version) | checksums)


def _offered_version(options: Options) -> int:
    """The version that a SYN offers, which may have a form of its own; -1: none."""
    for option in options.mptcp:
        match option:
            case MpCapable():
                return option.version
            case UnknownMptcp(subtype=Subtype.MP_CAPABLE):
                return option.body[0] & 15
    return -1


def _understood(option: MpCapable) -> bool:
    """Whether we know the cryptography that the flags of our versions ask for; B must be ignored with its option."""
    return option.version > 1 or (bool(option.flags & HMAC) and not option.flags & EXTENSIBILITY)


class Handshake(ABC):
    """What a subflow says in its first segments and what it expects to hear."""

    def __init__(self, connection: ControlBlock) -> None:
        self.connection = connection
        self._count = connection.stack.context.counters

    def syn_options(self, transmissions: int, local_id: int, backup: bool) -> tuple[MptcpOption, ...]:
        """For a SYN or SYN/ACK that the subflow sends itself, with this one so many ``transmissions``."""
        return ()

    @abstractmethod
    def established(self, segment: Segment, now: int) -> bool:
        """TCP's handshake is complete with ``segment``. False: reset the subflow."""

    def until_confirmed(self) -> tuple[MptcpOption, ...]:
        """For segments without payload until the peer has shown that it got our third ACK."""
        return ()


class Plain(Handshake):
    """TCP without MPTCP."""

    @override
    def established(self, segment: Segment, now: int) -> bool:
        return True


class ActiveInitial(Handshake):
    """We connect, and offer MPTCP, until too many SYNs that do have been lost."""

    def __init__(self, connection: ControlBlock) -> None:
        super().__init__(connection)
        self._given_up = False

    @override
    def syn_options(self, transmissions: int, local_id: int, backup: bool) -> tuple[MptcpOption, ...]:
        connection = self.connection
        config = connection.stack.config
        if transmissions > config.mptcp_syn_attempts:
            self._count["MPTcpExtMPCapableSYNTXDrop"] += transmissions == config.mptcp_syn_attempts + 1
            self._given_up = True
            return ()
        self._count["MPTcpExtMPCapableSYNTX"] += transmissions == 1
        version = connection.version
        key = connection.local_key.value if version == 0 else None
        return (MpCapable(version, offer_flags(config, version), key),)

    @override
    def established(self, segment: Segment, now: int) -> bool:
        connection = self.connection
        option = find(segment.options, MpCapable)
        if option is not None and (option.version != connection.version or not _understood(option)):
            option = None
        if option is None or option.sender_key is None:
            self._count["MPTcpExtMPCapableFallbackSYNACK"] += not self._given_up
            connection.fall_back(now)
            return True
        self._count["MPTcpExtMPCapableSYNACKRX"] += 1
        connection.begin(option, offer_flags(connection.stack.config, connection.version))
        return True

    @override
    def until_confirmed(self) -> tuple[MptcpOption, ...]:
        return (self.connection.third_ack(),)


class PassiveInitial(Handshake):
    """A peer that offers MPTCP connects to us, with ``syn``; our listener has sent the SYN/ACK."""

    def __init__(self, connection: ControlBlock, syn: Options) -> None:
        super().__init__(connection)
        self._offer = find(syn, MpCapable)

    @override
    def established(self, segment: Segment, now: int) -> bool:
        connection = self.connection
        version = connection.version
        option = find(segment.options, MpCapable)
        dss = segment.options.dss
        if version == 0 and option is None and dss is not None and (dss.dsn is not None or not segment.length):
            option = self._offer  # the third ACK was lost, and would have said nothing new
        elif option is None or option.receiver_key is None or option.version != version:
            option = None
        elif not same(option.receiver_key, connection.local_key.value):
            return False
        if option is None or option.sender_key is None or not _understood(option):
            self._count["MPTcpExtMPCapableFallbackACK"] += 1
            connection.fall_back(now)
            return True
        self._count["MPTcpExtMPCapableACKRX"] += 1
        asked = self._offer.flags & CHECKSUM_REQUIRED if self._offer is not None else 0
        self._offer = None
        connection.begin(option, offer_flags(connection.stack.config, version) | asked)
        return True


class ActiveJoin(Handshake):
    """We add a subflow."""

    def __init__(self, connection: ControlBlock) -> None:
        super().__init__(connection)
        self._nonce = connection.stack.random.randbytes(NONCE_BYTES)
        self._peer_nonce = b""
        self.peer_backup = False

    @override
    def syn_options(self, transmissions: int, local_id: int, backup: bool) -> tuple[MptcpOption, ...]:
        self._count["MPTcpExtMPJoinSynTx"] += transmissions == 1
        return (MpJoinSyn(backup, local_id, self.connection.remote_key.token, self._nonce),)

    @override
    def established(self, segment: Segment, now: int) -> bool:
        option = find(segment.options, MpJoinSynAck)
        if option is None:
            return False
        self.peer_backup = option.backup
        expected = join_hmac(self.connection.remote_key, self.connection.local_key, option.nonce, self._nonce)
        if not same(option.hmac, expected[:8]):
            self._count["MPTcpExtMPJoinSynAckHMacFailure"] += 1
            return False
        self._peer_nonce = option.nonce
        self._count["MPTcpExtMPJoinSynAckRx"] += 1
        self._count["MPTcpExtMPJoinSynAckBackupRx"] += option.backup
        self._count["MPTcpExtMPJoinPortSynAckRx"] += segment.sport != self.connection.remote.port
        return True

    @override
    def until_confirmed(self) -> tuple[MptcpOption, ...]:
        digest = join_hmac(self.connection.local_key, self.connection.remote_key, self._nonce, self._peer_nonce)
        return (MpJoinAck(digest[:20]),)


class PassiveJoin(Handshake):
    """The peer adds a subflow to an address of ours, which may be a ``backup``."""

    def __init__(self, connection: ControlBlock, option: MpJoinSyn, backup: bool) -> None:
        super().__init__(connection)
        self._backup = backup
        self._peer_nonce = option.nonce
        self._nonce = connection.stack.random.randbytes(NONCE_BYTES)

    @override
    def syn_options(self, transmissions: int, local_id: int, backup: bool) -> tuple[MptcpOption, ...]:
        digest = join_hmac(self.connection.local_key, self.connection.remote_key, self._nonce, self._peer_nonce)
        return (MpJoinSynAck(self._backup, local_id, digest[:8], self._nonce),)

    @override
    def established(self, segment: Segment, now: int) -> bool:
        option = find(segment.options, MpJoinAck)
        expected = join_hmac(self.connection.remote_key, self.connection.local_key, self._peer_nonce, self._nonce)
        if option is None or not same(option.hmac, expected[:20]):
            self._count["MPTcpExtMPJoinAckHMacFailure"] += option is not None
            return False
        self._count["MPTcpExtMPJoinAckRx"] += 1
        self._count["MPTcpExtMPJoinPortAckRx"] += segment.dport != self.connection.local.port
        return True


def find(options: Options, kind: type[Option]) -> Option | None:
    """The first MPTCP option of a kind, if there is one."""
    for option in options.mptcp:
        if isinstance(option, kind):
            return option
    return None
