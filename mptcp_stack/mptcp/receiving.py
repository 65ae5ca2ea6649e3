"""The receiving half of a connection: order by data sequence number, and the shared window."""

from mptcp_stack.storage import Chunks, Reassembly, ReceiveQueue, cut


class Receiving:
    """Bytes on their way to the application; positions are unwrapped data sequence numbers."""

    __slots__ = ("_buffer_bytes", "_edge", "_reassembly", "fin", "first", "queue")

    def __init__(self, buffer_bytes: int) -> None:
        self._buffer_bytes = buffer_bytes
        self.queue = ReceiveQueue()
        self.fin: int | None = None
        self.start(0)

    def start(self, first: int) -> None:
        """``first`` is the data sequence number of the first byte."""
        self.first = first
        self._reassembly = Reassembly(first)
        self._edge = first

    @property
    def next(self) -> int:
        """The data acknowledgement: one beyond the last byte in order, and beyond the DATA_FIN if that was reached."""
        following = self._reassembly.next
        return following + 1 if self.finished else following

    @property
    def finished(self) -> bool:
        """Everything up to the peer's DATA_FIN has arrived."""
        return self.fin is not None and self._reassembly.next >= self.fin

    def insert(self, dsn: int, chunks: Chunks, length: int) -> None:
        """Bytes from a subflow. What lies beyond the window or the end, where no honest peer sends, is dropped."""
        room = self._reassembly.next + self._buffer_bytes - dsn
        if self.fin is not None:
            room = min(room, self.fin - dsn)
        if length > room:
            if room <= 0:
                return
            chunks, length = cut(chunks, 0, room), room
        ordered = self._reassembly.insert(dsn, chunks, length)
        if ordered:
            self.queue.extend(ordered)

    def finish_at(self, end: int) -> None:
        """The peer's DATA_FIN at ``end``, unless it contradicts what has arrived or lies beyond the window."""
        following = self._reassembly.next
        if not self.finished and following <= end <= following + self._buffer_bytes:
            self.fin = end

    def finish(self) -> None:
        """The peer's end of data where TCP's FIN says it."""
        self.fin = self._reassembly.next

    def window(self) -> int:
        """Bytes the peer may send beyond ``next``; the right edge never moves back."""
        following = self._reassembly.next
        edge = following + self._buffer_bytes - self.queue.length
        if edge > self._edge:
            self._edge = edge
        return max(0, self._edge - following)
