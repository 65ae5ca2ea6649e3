"""asyncio's event loop, in whose waits others take part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .waiting import FineSelector, Participant


class DrivenLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with a `FineSelector` that participants `join` and `leave`."""

    def __init__(self) -> None:
        self._fine_selector = FineSelector()
        super().__init__(self._fine_selector)
        self._fine_selector.callbacks = self._ready  # type: ignore[attr-defined]  # the loop's own, for good

    def join(self, participant: Participant) -> None:
        """Have `participant` take part in each wait from now on."""
        self._fine_selector.participants = (*self._fine_selector.participants, participant)

    def leave(self, participant: Participant) -> None:
        """It takes part no longer."""
        staying = (one for one in self._fine_selector.participants if one is not participant)
        self._fine_selector.participants = tuple(staying)

    def read_at_once(self, descriptor: int, read: Callable[[], None]) -> None:
        """While `descriptor` has a reader, `read` is called in its place, in the wait; it raises nothing either."""
        self._fine_selector.readers[descriptor] = read

    def read_no_more(self, descriptor: int) -> None:
        """As `descriptor` is going to be closed, and its number may be that of another file."""
        self._fine_selector.readers.pop(descriptor, None)
