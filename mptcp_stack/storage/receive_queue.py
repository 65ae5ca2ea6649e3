"""Bytes in order, taken from the head piece by piece."""

from typing import Final

from mptcp_stack.storage.chunks import EMPTY, Chunks, append, kept

_HEAD_LIMIT: Final = 64
"""Chosen: so many empty places, and as many as full ones, before the list is cut: a byte read costs the same always."""


class ReceiveQueue:
    """Bytes in order that nobody has taken yet. Taking costs by what is taken, whatever waits behind it."""

    __slots__ = ("_chunks", "_head", "length")

    def __init__(self) -> None:
        self._chunks: Chunks = []
        self._head = 0
        self.length = 0

    def extend(self, chunks: Chunks) -> None:
        """Add bytes at the tail."""
        for chunk in chunks:
            self.length += len(chunk)
            append(self._chunks, kept(chunk), self._head)

    def peek(self, limit: int) -> Chunks:
        """Up to ``limit`` bytes from the head, which stay."""
        chunks: Chunks = []
        index, limit = self._head, min(limit, self.length)
        while limit:
            chunks.append(self._chunks[index][:limit])
            limit -= len(chunks[-1])
            index += 1
        return chunks

    def take(self, limit: int) -> Chunks:
        """Up to ``limit`` bytes from the head."""
        chunks, head = self._chunks, self._head
        if limit >= self.length:
            self._chunks = []
            self._head = self.length = 0
            return chunks[head:] if head else chunks
        self.length -= limit
        taken: Chunks = []
        while limit:
            chunk = chunks[head]
            size = len(chunk)
            if size > limit:
                taken.append(chunk[:limit])
                chunks[head] = chunk[limit:]
                break
            taken.append(chunk)
            chunks[head] = EMPTY
            head += 1
            limit -= size
        if head > _HEAD_LIMIT and 2 * head > len(chunks):
            del chunks[:head]
            head = 0
        self._head = head
        return taken
