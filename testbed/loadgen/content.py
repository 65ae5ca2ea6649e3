"""The bytes that every generator sends: known to both ends, so a receiver compares instead of hashing.

The content of a transfer is one block repeated for ever. The block is noise whose length is a prime number,
so that a segment that is lost, doubled or put at another multiple of any packet or buffer size cannot go
unseen. An exact comparison is stronger than a hash and, being one ``memcmp``, costs some twenty times less
than SHA-256.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

CHUNK_BYTES = 1 << 19
"""Most bytes that :func:`chunk` returns at a time."""

PERIOD_BYTES = 1_048_573
"""Length of the repeated block: the largest prime below 1 MiB."""

_BLOCK = hashlib.shake_256(b"mptcp-lab content").digest(PERIOD_BYTES)
_REPEATED = _BLOCK + _BLOCK[:CHUNK_BYTES]
_VIEW = memoryview(_REPEATED)


def chunk(offset: int, length: int) -> memoryview:
    """Return the content at ``offset``: ``length`` bytes, or :data:`CHUNK_BYTES` if that is less. No copy."""
    start = offset % PERIOD_BYTES
    return _VIEW[start : start + min(length, CHUNK_BYTES)]


def matches(received: bytes | memoryview, offset: int) -> bool:
    """Tell whether ``received`` is exactly the content at ``offset``, without copying either."""
    if len(received) <= CHUNK_BYTES:
        return _REPEATED.startswith(received, offset % PERIOD_BYTES)
    view = memoryview(received)
    return all(matches(view[start : start + CHUNK_BYTES], offset + start) for start in range(0, len(view), CHUNK_BYTES))


@lru_cache(maxsize=64)
def prefix(length: int) -> bytes:
    """Return the first ``length`` bytes of the content as one object, kept for the next caller."""
    blocks, rest = divmod(length, PERIOD_BYTES)
    return _BLOCK * blocks + _BLOCK[:rest]
