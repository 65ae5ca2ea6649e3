"""Timers in one heap with lazy deletion: moving a timer to a later time costs nothing."""

from collections.abc import Callable
from heapq import heappop, heappush

NEVER = 1 << 126


class Timer:
    """One deadline with an action; made by ``Timers.timer``."""

    __slots__ = ("_queued", "_timers", "action", "deadline", "owner")

    def __init__(self, timers: "Timers", action: Callable[[int], object], owner: object) -> None:
        self._timers = timers
        self.action = action
        self.owner = owner
        self.deadline = NEVER
        self._queued = NEVER

    @property
    def armed(self) -> bool:
        """Whether it is going to fire."""
        return self.deadline != NEVER

    def set(self, deadline: int) -> None:
        """Fire at ``deadline`` (ns) instead of whenever it was set to fire before."""
        self.deadline = deadline
        if deadline < self._queued:
            self._queued = deadline
            self._timers.push(deadline, self)

    def set_earlier(self, deadline: int) -> None:
        """Fire at ``deadline`` (ns), unless it fires before that anyway."""
        if deadline < self.deadline:
            self.set(deadline)

    def cancel(self) -> None:
        """Do not fire."""
        self.deadline = NEVER


class Timers:
    """A heap of (time, timer). An entry whose timer has moved on is dropped or put back when it comes up.

    ``firing``: the timer whose action was called last.
    """

    __slots__ = ("_count", "_heap", "firing")

    def __init__(self) -> None:
        self.firing: Timer | None = None
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0

    def timer(self, action: Callable[[int], object], owner: object = None) -> Timer:
        """A new timer, not armed, that calls ``action(now)``. ``owner``: what has to bear it when the action raises."""
        return Timer(self, action, owner)

    def push(self, deadline: int, timer: Timer) -> None:
        """Queue an entry; for ``Timer`` alone."""
        self._count += 1
        heappush(self._heap, (deadline, self._count, timer))

    def next_deadline(self) -> int | None:
        """When the first armed timer fires (ns), or None."""
        heap = self._heap
        while heap:
            queued, _, timer = heap[0]
            if timer.deadline == queued:
                return queued
            self._requeue_first()
        return None

    def fire(self, now: int) -> int:
        """Call the action of every timer that is due at ``now`` (ns), in order of time; how many were called."""
        fired = 0
        heap = self._heap
        while heap and heap[0][0] <= now:
            queued, _, timer = heap[0]
            if timer.deadline != queued:
                self._requeue_first()
                continue
            heappop(heap)
            timer.deadline = NEVER
            timer._queued = NEVER
            self.firing = timer
            timer.action(now)
            fired += 1
        return fired

    def _requeue_first(self) -> None:
        """The first entry is stale: drop it, and queue its timer at the time it really fires."""
        queued, _, timer = heappop(self._heap)
        if timer._queued == queued:
            timer._queued = NEVER
            if timer.deadline != NEVER:
                timer.set(timer.deadline)
