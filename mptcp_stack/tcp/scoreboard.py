"""What was sent and is not acknowledged: one record for each burst, split where acknowledgements split it."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final

from mptcp_stack.storage import NO_RANGES, Chunks, RangeSet, cut
from mptcp_stack.wire import FIN, SYN

_HEAD_LIMIT: Final = 256
"""Chosen: so many places of records that are acknowledged are cut off at once, as each cut moves all others."""

_RECORD_BYTES: Final = 1024
_SPLIT_RECORDS: Final = 256
_SENT_RECORDS: Final = 1024
"""A record costs 700 bytes, and loss detection looks at each. So about so many, and one for each kilobyte outstanding,
are all that a peer gets that selects single bytes (CVE-2019-11478; Linux bounds fragments by the send buffer) or has us
send them. Full segments are fewer than one a kilobyte, even where each is a record of its own."""


class Delivery(IntEnum):
    """What the sender believes about a record."""

    IN_FLIGHT = 0
    SACKED = 1
    LOST = 2


class Record:
    """A burst of consecutive sequence space that was sent together: payload, perhaps a SYN or FIN.

    ``mapping`` is whatever the layer above wants back when the burst is sent again; a split leaves it whole, because a
    receiver must see the same data sequence mapping for every part (RFC 8684 section 3.3.1).
    """

    __slots__ = ("chunks", "delivery", "end", "flags", "length", "mapping", "sent_ns", "seq", "transmissions")

    def __init__(self, seq: int, end: int, chunks: Chunks, length: int, flags: int, mapping: Any) -> None:
        self.seq = seq
        self.end = end
        self.chunks = chunks if length else []
        self.length = length
        self.flags = flags
        self.mapping = mapping
        self.sent_ns = 0
        self.transmissions = 0
        self.delivery = Delivery.IN_FLIGHT

    @classmethod
    def of_syn(cls, iss: int) -> "Record":
        """A SYN without payload."""
        return cls(iss, iss + 1, [], 0, SYN, None)

    @classmethod
    def of_fin(cls, seq: int, mapping: Any = None) -> "Record":
        """A FIN without payload."""
        return cls(seq, seq + 1, [], 0, FIN, mapping)

    @property
    def size(self) -> int:
        """Sequence space taken."""
        return self.end - self.seq


_by_seq = attrgetter("seq")


class Scoreboard:
    """Records in order of sequence, with what RFC 6675 calls the pipe counted as they change."""

    __slots__ = ("_head", "_lost", "_records", "_sacked", "in_flight", "next", "una")

    def __init__(self, iss: int) -> None:
        self.una = iss
        self.next = iss
        self.in_flight = 0
        self._sacked: RangeSet | None = None
        self._records: list[Record] = []
        self._head = 0
        self._lost: deque[Record] | None = None
        """As long as there are any: an empty one takes more memory than all else here."""

    def __iter__(self) -> Iterator[Record]:
        """Outstanding records in order."""
        for index in range(self._head, len(self._records)):
            yield self._records[index]

    @property
    def sacked(self) -> RangeSet:
        """What the peer has selected beyond ``una``; to look at."""
        return NO_RANGES if self._sacked is None else self._sacked

    @property
    def crowded(self) -> bool:
        """Whether what is outstanding is in so many small pieces that nothing is to be added to it."""
        return len(self._records) >= _SENT_RECORDS and self._records_beyond(_SENT_RECORDS) >= 0

    def _records_beyond(self, base: int) -> int:
        """How many more records there are than ``base`` and those that the bytes outstanding call for."""
        return len(self._records) - self._head - base - (self.next - self.una) // _RECORD_BYTES

    @property
    def first(self) -> Record | None:
        """The oldest outstanding record."""
        return self._records[self._head] if self._head < len(self._records) else None

    @property
    def last(self) -> Record | None:
        """The newest outstanding record."""
        return self._records[-1] if self._head < len(self._records) else None

    def append(self, record: Record) -> None:
        """A record that is being sent for the first time."""
        self._records.append(record)
        self.next = record.end
        self.in_flight += record.end - record.seq

    def acknowledge(self, una: int, delivered: list[Record]) -> None:
        """Everything below ``una`` arrived; records that are new at the receiver are added to ``delivered``."""
        records = self._records
        head = self._head
        count = len(records)
        while head < count:
            record = records[head]
            if record.end > una:
                if record.seq >= una:
                    break
                self._split(head, una)
                count += 1
            if record.delivery is Delivery.IN_FLIGHT:
                self.in_flight -= record.end - record.seq
            if record.delivery is not Delivery.SACKED:
                delivered.append(record)
            record.delivery = Delivery.SACKED
            head += 1
        self.una = una
        if self._sacked is not None:
            self._sacked.discard_below(una)
            if not len(self._sacked):
                self._sacked = None
        if head > _HEAD_LIMIT or head == count:
            del records[:head]
            head = 0
        self._head = head

    def select(self, blocks: Iterable[tuple[int, int]], delivered: list[Record]) -> None:
        """SACK blocks (unwrapped, half-open) came in; what they newly report is added to ``delivered``.

        Blocks outside of what is outstanding are ignored (RFC 2018 section 5; a D-SACK is one, RFC 2883). Where there
        are too many records already, those that a block has a part of only are not taken for arrived: at worst they
        are sent again.
        """
        for start, end in blocks:
            start = max(start, self.una)
            if start >= end or end > self.next:
                continue
            if self._records_beyond(_SPLIT_RECORDS) > 0:
                start, end = self._whole_records(start, end)
            if self._sacked is None:
                self._sacked = RangeSet()
            for gap in self._sacked.missing(start, end):
                self._select_gap(*gap, delivered)
            self._sacked.add(start, end)

    def _whole_records(self, start: int, end: int) -> tuple[int, int]:
        """``[start, end)`` without the records that are in it in part only."""
        records = self._records
        after = bisect_left(records, start, lo=self._head, key=_by_seq)
        last = records[bisect_right(records, end, lo=self._head, key=_by_seq) - 1]
        first_seq = records[after].seq if after < len(records) else self.next
        return first_seq, end if end == last.end else last.seq

    def _select_gap(self, start: int, end: int, delivered: list[Record]) -> None:
        index = self._index_at(start)
        while index < len(self._records) and self._records[index].seq < end:
            record = self._records[index]
            if record.end > end:
                self._split(index, end)
            if record.delivery is not Delivery.SACKED:
                if record.delivery is Delivery.IN_FLIGHT:
                    self.in_flight -= record.end - record.seq
                record.delivery = Delivery.SACKED
                delivered.append(record)
            index += 1

    def _index_at(self, seq: int) -> int:
        """Index of the first record that starts at or after ``seq``, after a split at ``seq`` where needed."""
        index = bisect_right(self._records, seq, lo=self._head, key=_by_seq) - 1
        record = self._records[index]
        if record.seq < seq < record.end:
            self._split(index, seq)
        return index if record.seq == seq else index + 1

    def forget(self) -> None:
        """Let go of all that is outstanding: nothing is sent again, nor acknowledged. The numbers stay."""
        self._records.clear()
        self._lost = self._sacked = None
        self._head = self.in_flight = 0

    def mark_lost(self, record: Record) -> None:
        """Take an in-flight record out of the pipe and queue it for retransmission."""
        record.delivery = Delivery.LOST
        self.in_flight -= record.end - record.seq
        if self._lost is None:
            self._lost = deque()
        self._lost.append(record)

    def mark_all_lost(self) -> None:
        """Nothing is believed to be in flight any more: what was not selected is sent again, from the first byte on.

        If the first record was selected the receiver has let go of it again, and then nothing of what it selected is
        certain any more (RFC 2018 section 8).
        """
        first = self.first
        if first is not None and first.delivery is Delivery.SACKED:
            self._sacked = None
            for record in self:
                record.delivery = Delivery.LOST
        lost = self._lost = deque()
        for record in self:
            if record.delivery is not Delivery.SACKED:
                record.delivery = Delivery.LOST
                lost.append(record)
        self.in_flight = 0

    def believe_in_flight(self) -> None:
        """What was marked lost is still on its way, after all."""
        for record in self._lost or ():
            if record.delivery is Delivery.LOST:
                record.delivery = Delivery.IN_FLIGHT
                self.in_flight += record.end - record.seq
        self._lost = None

    def next_lost(self) -> Record | None:
        """The record to retransmit first, or None."""
        lost = self._lost
        if lost is not None:
            while lost:
                if lost[0].delivery is Delivery.LOST:
                    return lost[0]
                lost.popleft()
            self._lost = None
        return None

    def resend(self, record: Record) -> None:
        """``record``, the one that ``next_lost`` returned, is being retransmitted."""
        assert self._lost is not None
        self._lost.popleft()
        record.delivery = Delivery.IN_FLIGHT
        self.in_flight += record.end - record.seq

    def split(self, record: Record, seq: int) -> None:
        """Cut a record in two at ``seq``; the object keeps the first part."""
        self._split(bisect_right(self._records, record.seq, lo=self._head, key=_by_seq) - 1, seq)

    def _split(self, index: int, seq: int) -> None:
        record = self._records[index]
        offset = seq - record.seq
        tail_length = record.length - offset
        tail = Record(
            seq,
            record.end,
            cut(record.chunks, offset, record.length),
            tail_length,
            record.flags,
            record.mapping,
        )
        tail.sent_ns = record.sent_ns
        tail.transmissions = record.transmissions
        tail.delivery = record.delivery
        record.chunks = cut(record.chunks, 0, offset) if offset else []
        record.length = offset
        record.end = seq
        record.flags &= ~FIN
        self._records.insert(index + 1, tail)
        if tail.delivery is Delivery.LOST and self._lost is not None:
            position = self._lost.index(record)
            self._lost.insert(position + 1, tail)
