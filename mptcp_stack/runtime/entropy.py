"""Random numbers of the kernel, taken in blocks: a connection draws seven, each of which would be a system call."""

from __future__ import annotations

import os
from random import SystemRandom
from typing import Final
from weakref import WeakSet

BLOCK_BYTES: Final = 4096
"""Chosen: a system call in some hundred connections. What was not drawn yet lies in memory, as keys do."""

_all: Final[WeakSet[BlockRandom]] = WeakSet()


class BlockRandom(SystemRandom):
    """As `random.SystemRandom`, but a system call is `BLOCK_BYTES`. A fork does not draw what its parent does."""

    def __init__(self) -> None:
        super().__init__()
        self._block = b""
        self._drawn = 0
        _all.add(self)

    def randbytes(self, n: int) -> bytes:
        """`n` random bytes."""
        if n > BLOCK_BYTES:
            return os.urandom(n)
        if self._drawn + n > len(self._block):
            self._block, self._drawn = os.urandom(BLOCK_BYTES), 0
        start, self._drawn = self._drawn, self._drawn + n
        return self._block[start : self._drawn]

    def getrandbits(self, k: int, /) -> int:
        """A number of `k` random bits."""
        if k < 0:
            raise ValueError("number of bits must be non-negative")
        size = (k + 7) // 8
        return int.from_bytes(self.randbytes(size), "big") >> (8 * size - k)

    def random(self) -> float:
        """A number from 0 to 1, 1 excluded, with all the digits of a float."""
        return self.getrandbits(53) * 2.0**-53

    def forget(self) -> None:
        """Draw from a new block."""
        self._block, self._drawn = b"", 0


def _forget_all() -> None:
    for one in _all:
        one.forget()


os.register_at_fork(after_in_child=_forget_all)
