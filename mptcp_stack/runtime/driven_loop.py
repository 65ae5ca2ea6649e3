"""asyncio's event loop, with waits in which others take part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .waiting import FineSelector, Partaker


class DrivenLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, in whose waits others take part."""

    def __init__(self) -> None:
        self._waits = FineSelector()
        super().__init__(self._waits)

    def take_part(self, partaker: Partaker) -> None:
        """Have `partaker` take part in each wait from now on."""
        self._waits.partakers.append(partaker)

    def read_at_once(self, descriptor: int, read: Callable[[], None]) -> None:
        """While `descriptor` has a reader, `read` is called in its place, in the wait; nothing may leave it either."""
        self._waits.readers[descriptor] = read

    def read_no_more(self, descriptor: int) -> None:
        """As `descriptor` is going to be closed, and its number may be that of another file."""
        self._waits.readers.pop(descriptor, None)
