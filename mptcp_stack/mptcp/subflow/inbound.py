"""Payload of a subflow on its way to the connection, where mappings say it belongs (RFC 8684 section 3.3.1)."""

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from mptcp_stack.mptcp.mapping import MAPPING_BYTES, Mapping, MappingTable
from mptcp_stack.mptcp.subflow.checksum_queue import ChecksumQueue
from mptcp_stack.storage import NEVER, Chunks, ReceiveQueue, expand_32
from mptcp_stack.wire import Segment

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow

_FORGIVEN: Final = 3
"""So many segments in a row may come without their mapping: by then it is no accident any more."""
_LONGEST: Final = 65535
"""The longest mapping: so many bytes in a row that none explains are broken (section 3.3.1)."""


class Inbound:
    """Of one subflow of a connection without checksums: what a mapping says counts, unless something contradicts it."""

    __slots__ = ("_mappings", "_subflow")
    __deletable__ = ("_subflow",)

    def __init__(self, subflow: "Subflow") -> None:
        self._subflow = subflow
        self._mappings = MappingTable()

    def add(self, mapping: Mapping, now: int) -> None:
        """The peer has announced a mapping."""
        connection = self._subflow.connection
        implausible = connection.fallback.alone and not connection.receiving.may_begin(mapping.dsn)
        if implausible or not self._mappings.add(mapping):
            connection.count("MPTcpExtDSSNoMatchTCP")
            receiver = self._subflow.endpoint.receiver
            connection.fallback.mapping_contradicted(self._subflow, receiver.next - receiver.irs, now)

    def maps(self, segment: Segment) -> bool:
        """Whether it is known where the payload belongs, or at least its first byte."""
        return self._mappings.covers(self._ssn_of(segment))

    def _ssn_of(self, segment: Segment) -> int:
        receiver = self._subflow.endpoint.receiver
        return expand_32(segment.seq, receiver.next) - receiver.irs

    def forgives(self, segment: Segment) -> bool:
        """Whether to have TCP repeat a segment without its mapping: the option may be whole next time."""
        return False

    def believed(self, data_ack: int) -> int:
        """How much of a DATA_ACK to believe."""
        return data_ack

    def believes_fin(self, mapping: Mapping) -> bool:
        """Whether to believe the DATA_FIN of a mapping before its payload is there."""
        return True

    def receive(self, ssn: int, chunks: Chunks, length: int, now: int) -> bool:
        """Payload in order; ``ssn`` counts from 1 at the first byte. False: the subflow was reset."""
        subflow = self._subflow
        connection = subflow.connection
        end = ssn + length
        parts: ReceiveQueue | None = None
        while ssn < end:
            if connection.is_plain:
                rest = chunks if parts is None else parts.take(end - ssn)
                connection.receiving.insert(connection.receiving.next, rest, end - ssn)
                return True
            mapping = self._mappings.find(ssn)
            if mapping is None:
                if not connection.fallback.mapping_missing(subflow, ssn, now):
                    return False
                continue
            part = min(end, mapping.end) - ssn
            if part < end - ssn and parts is None:
                parts = ReceiveQueue()
                parts.extend(chunks)
            piece = chunks if parts is None else parts.peek(part)
            if not self._insert(mapping.dsn + ssn - mapping.ssn, piece, part):
                if not connection.fallback.mapping_contradicted(subflow, ssn, now):
                    return False
                continue
            if parts is not None:
                parts.take(part)
            ssn += part
        return True

    def _insert(self, dsn: int, chunks: Chunks, length: int) -> bool:
        """Hand on bytes of the connection. False: they contradict what it has.

        TCP has acknowledged them already: when there is no memory for them they are lost to this subflow, and the peer
        sends them again as data that were not acknowledged (RFC 8684 section 3.3.6). Refusing them at TCP's level could
        hold up for ever what comes behind them on the subflow, and fills the gap.
        """
        connection = self._subflow.connection
        if not connection.receiving.insert(dsn, chunks, length):
            return False
        if connection.receiving.prune():
            connection.count("MPTcpExtRcvPruned")
        return True

    @property
    def charge(self) -> int:
        """What it remembers costs so many bytes of memory."""
        return MAPPING_BYTES * len(self._mappings)

    @property
    def unverified_bytes(self) -> int:
        """Bytes that wait for the rest of their mapping."""
        return 0

    def flush(self) -> None:
        """Hand on what waits, right or wrong: the connection has become TCP."""

    def dissolve(self) -> None:
        """The subflow is over: nothing refers back."""
        del self._subflow


class Checked(Inbound):
    """Of one subflow of a connection with checksums, which tell damaged options from others.

    So a segment whose option says nothing of it counts as lost and comes again, and of mappings that contradict each
    other the one counts whose checksum is right: every segment of a mapping carries a copy. Nothing goes on unverified.
    """

    __slots__ = ("_data_ack", "_queue", "_unmapped")

    def __init__(self, subflow: "Subflow") -> None:
        super().__init__(subflow)
        self._queue = ChecksumQueue()
        self._data_ack = -NEVER  # what the first one says has no other to vouch for it
        self._unmapped = 0

    @override
    def add(self, mapping: Mapping, now: int) -> None:
        """What contradicts others waits with them."""
        connection = self._subflow.connection
        if connection.receiving.may_begin(mapping.dsn) and not self._queue.add(mapping):
            connection.count("MPTcpExtDSSNoMatchTCP")

    @override
    def maps(self, segment: Segment) -> bool:
        """A mapping that comes with the segment has to, as others that do may be damaged."""
        ssn = self._ssn_of(segment)
        dss = segment.options.dss
        if dss is None or dss.dsn is None or dss.length <= dss.data_fin:
            return self._queue.covers(ssn)
        start = expand_32(dss.ssn, ssn)
        own = self._queue.position <= start <= ssn < start + dss.length - dss.data_fin
        return ssn < self._queue.position or (own and self._queue.covers(ssn))

    @override
    def forgives(self, segment: Segment) -> bool:
        """But a peer may also give a mapping once, and that segment be the one that is missing."""
        if self.maps(segment):
            self._unmapped = 0
            return False
        receiver = self._subflow.endpoint.receiver
        dss = segment.options.dss
        if dss is not None and dss.dsn is None and expand_32(segment.seq, receiver.next) > receiver.next:
            return False
        self._unmapped += 1
        return self._unmapped <= _FORGIVEN

    @override
    def believed(self, data_ack: int) -> int:
        """No checksum covers it, so the next one has to say no less, unless TCP vouches for it."""
        before, self._data_ack = self._data_ack, data_ack
        sending = self._subflow.sending
        vouched = data_ack == sending.end or data_ack <= sending.vouched()
        return data_ack if vouched else min(data_ack, before)

    @override
    def believes_fin(self, mapping: Mapping) -> bool:
        """One without payload has a checksum of its own."""
        return not mapping.length and mapping.verifies([], self._subflow.connection.remote_key)

    @override
    def receive(self, ssn: int, chunks: Chunks, length: int, now: int) -> bool:
        subflow, queue = self._subflow, self._queue
        connection = subflow.connection
        queue.append(chunks)
        while queue.length and not connection.is_plain:
            candidates = queue.candidates()
            mapping = next(filter(queue.is_whole, candidates), None)
            if mapping is None:
                return bool(candidates) or self._without_candidates(now)
            whole = queue.peek(mapping.length)
            if not mapping.verifies(whole, connection.remote_key):
                queue.refute(mapping)
            elif self._insert(mapping.dsn, whole, mapping.length):
                queue.drop(mapping.length)
                if mapping.data_fin:
                    subflow.finish_at(mapping.dsn + mapping.length)
            elif not connection.fallback.mapping_contradicted(subflow, queue.position, now):
                return False
        return True

    def _without_candidates(self, now: int) -> bool:
        """Bytes are there that no mapping explains. False: the subflow was reset."""
        queue, fallback = self._queue, self._subflow.connection.fallback
        if queue.refuted:
            return fallback.checksum_failed(self._subflow, queue.refuted, now)
        if queue.may_be_mapped and queue.length < _LONGEST and not fallback.alone:
            return True
        return fallback.mapping_missing(self._subflow, queue.position, now)

    @property
    @override
    def charge(self) -> int:
        return MAPPING_BYTES * len(self._queue)

    @property
    @override
    def unverified_bytes(self) -> int:
        return self._queue.length

    @override
    def flush(self) -> None:
        queue, receiving = self._queue, self._subflow.connection.receiving
        if queue.length:
            receiving.insert(receiving.next, queue.peek(queue.length), queue.length)
            queue.drop(queue.length)
