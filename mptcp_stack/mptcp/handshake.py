"""The handshakes of a subflow, one class for each role (RFC 8684 sections 3.1 and 3.2)."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from mptcp_stack.mptcp.keys import NONCE_BYTES, VERSION, Key, join_hmac, same
from mptcp_stack.wire import MpCapable, MpJoinAck, MpJoinSyn, MpJoinSynAck, MptcpOption, Options, Segment

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.subflow import Subflow

Option = TypeVar("Option")

FLAG_CHECKSUM = 0x80
FLAG_NO_INITIAL_ADDRESS = 0x20
FLAG_HMAC_SHA256 = 0x01


def understood(option: MpCapable) -> bool:
    """Whether we speak what the peer offers: version 1 with HMAC-SHA256 and no DSS checksums."""
    return option.version == VERSION and bool(option.flags & FLAG_HMAC_SHA256) and not option.flags & FLAG_CHECKSUM


def answer(key: Key) -> MpCapable:
    """MP_CAPABLE of the SYN/ACK to a peer that we understand; ``key`` is ours."""
    return MpCapable(VERSION, FLAG_HMAC_SHA256, sender_key=key.value)


class Handshake(ABC):
    """What a subflow says in its first segments and what it expects to hear."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self._count = connection.host.context.counters

    def syn_options(self, subflow: "Subflow") -> tuple[MptcpOption, ...]:
        """For a SYN or SYN/ACK that the subflow sends itself."""
        return ()

    @abstractmethod
    def established(self, segment: Segment, now: int) -> bool:
        """TCP's handshake is complete with ``segment``. False: reset the subflow."""

    def until_confirmed(self) -> tuple[MptcpOption, ...]:
        """For segments without payload until the peer has shown that it got our third ACK."""
        return ()


class Plain(Handshake):
    """TCP without MPTCP."""

    def established(self, segment: Segment, now: int) -> bool:
        return True


class ActiveInitial(Handshake):
    """We connect, and offer MPTCP."""

    def syn_options(self, subflow: "Subflow") -> tuple[MptcpOption, ...]:
        if subflow.syn_transmissions > self.connection.host.config.mptcp_syn_attempts:
            return ()
        self._count["MPTcpExtMPCapableSYNTX"] += 1
        return (MpCapable(VERSION, FLAG_HMAC_SHA256),)

    def established(self, segment: Segment, now: int) -> bool:
        option = find(segment.options, MpCapable)
        if option is None or option.sender_key is None or not understood(option):
            self._count["MPTcpExtMPCapableFallbackSYNACK"] += 1
            self.connection.fall_back(now)
            return True
        self._count["MPTcpExtMPCapableSYNACKRX"] += 1
        self.connection.begin(option)
        return True

    def until_confirmed(self) -> tuple[MptcpOption, ...]:
        return (self.connection.third_ack(None),)


class PassiveInitial(Handshake):
    """A peer that offers MPTCP connects to us; our listener has sent the SYN/ACK."""

    def established(self, segment: Segment, now: int) -> bool:
        option = find(segment.options, MpCapable)
        if option is None or option.sender_key is None or option.receiver_key is None or not understood(option):
            self._count["MPTcpExtMPCapableFallbackACK"] += 1
            self.connection.fall_back(now)
            return True
        if not same(option.receiver_key, self.connection.local_key.value):
            return False
        self._count["MPTcpExtMPCapableACKRX"] += 1
        self.connection.begin(option)
        return True


class ActiveJoin(Handshake):
    """We add a subflow."""

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection)
        self._nonce = connection.host.random.randbytes(NONCE_BYTES)
        self._peer_nonce = b""

    def syn_options(self, subflow: "Subflow") -> tuple[MptcpOption, ...]:
        self._count["MPTcpExtMPJoinSynTx"] += 1
        return (MpJoinSyn(subflow.backup, subflow.local_id, self.connection.remote_key.token, self._nonce),)

    def established(self, segment: Segment, now: int) -> bool:
        option = find(segment.options, MpJoinSynAck)
        if option is None:
            return False
        self._count["MPTcpExtMPJoinSynAckRx"] += 1
        expected = join_hmac(self.connection.remote_key, self.connection.local_key, option.nonce, self._nonce)
        if not same(option.hmac, expected[:8]):
            self._count["MPTcpExtMPJoinSynAckHMacFailure"] += 1
            return False
        self._peer_nonce = option.nonce
        return True

    def until_confirmed(self) -> tuple[MptcpOption, ...]:
        digest = join_hmac(self.connection.local_key, self.connection.remote_key, self._nonce, self._peer_nonce)
        return (MpJoinAck(digest[:20]),)


class PassiveJoin(Handshake):
    """The peer adds a subflow."""

    def __init__(self, connection: "Connection", option: MpJoinSyn) -> None:
        super().__init__(connection)
        self._peer_nonce = option.nonce
        self._nonce = connection.host.random.randbytes(NONCE_BYTES)

    def syn_options(self, subflow: "Subflow") -> tuple[MptcpOption, ...]:
        digest = join_hmac(self.connection.local_key, self.connection.remote_key, self._nonce, self._peer_nonce)
        return (MpJoinSynAck(False, subflow.local_id, digest[:8], self._nonce),)

    def established(self, segment: Segment, now: int) -> bool:
        option = find(segment.options, MpJoinAck)
        expected = join_hmac(self.connection.remote_key, self.connection.local_key, self._peer_nonce, self._nonce)
        if option is None or not same(option.hmac, expected[:20]):
            self._count["MPTcpExtMPJoinAckHMacFailure"] += 1
            return False
        self._count["MPTcpExtMPJoinAckRx"] += 1
        return True


def find(options: Options, kind: type[Option]) -> Option | None:
    """The first MPTCP option of a kind, if there is one."""
    for option in options.mptcp:
        if isinstance(option, kind):
            return option
    return None
