"""Payload as a list of memoryviews: cut and counted without copying a byte."""

Chunks = list[memoryview]


def length_of(chunks: Chunks) -> int:
    """Bytes in all chunks together."""
    return sum(map(len, chunks))


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
