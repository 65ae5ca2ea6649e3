"""Virtual time: a heap of things to do, each at a nanosecond."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000

Action = Callable[[], None]


class Clock:
    """Virtual clock that jumps to the next scheduled action.

    Actions due at the same nanosecond run in the order in which they were scheduled, so a run never depends
    on how the heap breaks ties.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._scheduled = 0

    def schedule(self, at_ns: int, action: Action) -> None:
        """Run `action` at `at_ns`, or now if that has passed already."""
        self._scheduled += 1
        heappush(self._heap, (max(at_ns, self.now_ns), self._scheduled, action))

    def next_ns(self) -> int | None:
        """When the next action is due; None when nothing is left to do."""
        return self._heap[0][0] if self._heap else None

    def advance(self) -> bool:
        """Jump to the next action and run it; False when nothing is left to do."""
        if not self._heap:
            return False
        self.now_ns, _, action = heappop(self._heap)
        action()
        return True
