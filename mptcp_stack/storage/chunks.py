"""Payload as a list of memoryviews: cut and counted without copying a byte, but for small pieces, which are joined.

What Python keeps for a view outweighs a small piece many times over, and a view keeps all of its memory alive: a peer
that sends single bytes made us hold hundreds for each. So what is kept is charged by ``cost``, pieces below
``SMALL_BYTES`` that follow each other become one, and a view of little of its memory is copied out. Super-segments are
never copied. Linux does the same with truesize, tcp_try_coalesce and tcp_collapse.
"""

from typing import Any, Final

Chunks = list[memoryview]

SMALL_BYTES: Final = 1024
"""Twice what a piece costs at the least: larger ones are worth their price, and are those of honest bulk transfers."""
JOINED_BYTES: Final = 16384
"""Pieces are joined up to here: a few of them fill a super-segment or an application's buffer."""
PIECE_BYTES: Final = 512
"""What a piece costs beside its bytes: a view of them (356 bytes in CPython 3.11) and its place in lists and ranges."""
EMPTY: Final = memoryview(b"")
"""In place of a piece that was let go of, at the head of a list that is cut now and then only."""


def length_of(chunks: Chunks) -> int:
    """Bytes in all chunks together."""
    return sum(map(len, chunks))


def cost(chunk: memoryview) -> int:
    """Bytes of memory that are held as long as ``chunk`` is."""
    memory: Any = chunk.obj
    return len(memory) + PIECE_BYTES


def kept(chunk: memoryview) -> memoryview:
    """``chunk``, or a copy of it where it would keep alive more than twice its bytes."""
    memory: Any = chunk.obj
    return memoryview(bytes(chunk)) if len(memory) > 2 * len(chunk) + PIECE_BYTES else chunk


def append(chunks: Chunks, chunk: memoryview, floor: int = 0) -> None:
    """Add a chunk at the end of ``chunks``; a small one is joined with those from index ``floor`` on before it.

    Only with what is less than twice as long as all that follows it: so a byte is copied a few times at the most
    (their number is the logarithm of ``JOINED_BYTES``), and of small pieces in a row each has half the bytes of the
    one before it at the most.
    """
    size = len(chunk)
    if size < SMALL_BYTES:
        parts = [chunk]
        while len(chunks) > floor and (before := len(chunks[-1])) < 2 * size and before + size <= JOINED_BYTES:
            parts.append(chunks.pop())
            size += before
        if len(parts) > 1:
            parts.reverse()
            chunk = memoryview(b"".join(parts))
        elif not size:
            return
    chunks.append(chunk)


def cut(chunks: Chunks, start: int, end: int) -> Chunks:
    """Bytes ``[start, end)`` of the concatenation, as views of the same memory."""
    if len(chunks) == 1:
        return [chunks[0][start:end]]
    part = []
    offset = 0
    for chunk in chunks:
        stop = offset + len(chunk)
        if stop > start:
            if offset >= end:
                break
            part.append(chunk[max(0, start - offset) : end - offset])
        offset = stop
    return part
