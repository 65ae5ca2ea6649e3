"""Timers in one heap with lazy deletion: moving a timer to a later time costs nothing.

What lies in the heap is an entry, not the timer: an entry of no use may stay there for hours (a keep-alive's), and must
not keep a connection alive that has closed. When such entries are the most of the heap they are cleared away.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

from typing_extensions import override

NEVER: Final = (1 << 62) - 1
"""In a hundred years; the largest number that the compiled core calculates with in a machine word."""
_USELESS_ENTRIES: Final = 64
"""So few, and as many as there are armed timers, may lie in the heap before they are worth the clearing."""


class _Entry:
    """A place in the heap, at ``time`` (NEVER: it is there no longer). ``timer``: whom to ask then, if anybody."""

    __slots__ = ("time", "timer")

    def __init__(self, time: int, timer: "Timer | None") -> None:
        self.time = time
        self.timer = timer


_NOWHERE: Final = _Entry(NEVER, None)
"""Of all timers that have never been set."""


class Timer:
    """One deadline. What happens then says ``expire`` of a subclass, or what ``Timers.timer`` is given.

    ``owner``: what has to bear it when that raises.
    """

    __slots__ = ("_entry", "_timers", "deadline", "owner")

    def __init__(self, timers: "Timers", owner: object = None) -> None:
        self._timers = timers
        self._entry = _NOWHERE
        self.owner = owner
        self.deadline = NEVER

    def expire(self, now: int) -> None:
        """The time has come."""
        raise NotImplementedError(f"{type(self).__name__} lacks expire")

    def end(self) -> None:
        """Never fire again, and keep nothing alive."""
        self.cancel()
        self.owner = None

    @property
    def armed(self) -> bool:
        """Whether it is going to fire."""
        return self.deadline != NEVER

    def set(self, deadline: int) -> None:
        """Fire at ``deadline`` (ns) instead of whenever it was set to fire before."""
        entry = self._entry
        if self.deadline == NEVER:
            self._timers.armed += 1
        self.deadline = deadline
        if deadline >= entry.time:
            entry.timer = self
        else:
            entry.timer = None
            self._entry = self._timers.push(deadline, self)

    def set_earlier(self, deadline: int) -> None:
        """Fire at ``deadline`` (ns), unless it fires before that anyway."""
        if deadline < self.deadline:
            self.set(deadline)

    def cancel(self) -> None:
        """Do not fire."""
        if self.deadline != NEVER:
            self.deadline = NEVER
            self._entry.timer = None
            timers = self._timers
            timers.armed -= 1
            if len(timers._heap) > 2 * timers.armed + _USELESS_ENTRIES:
                timers.clear_useless()


def _do_nothing(now: int) -> None:
    """What a timer does that has ended."""


class _Calling(Timer):
    """A timer with the ``action`` of somebody else."""

    __slots__ = ("_action",)

    def __init__(self, timers: "Timers", action: Callable[[int], object], owner: object) -> None:
        super().__init__(timers, owner)
        self._action = action

    @override
    def expire(self, now: int) -> None:
        self._action(now)

    @override
    def end(self) -> None:
        super().end()
        self._action = _do_nothing


class Timers:
    """A heap of (time, number, entry). An entry whose timer has moved on is dropped or put back when it comes up.

    ``armed``: how many timers are going to fire; each has one entry that names it. For ``Timer`` alone.
    ``firing``: the timer that expires now, or has raised.
    """

    __slots__ = ("_count", "_heap", "armed", "firing")

    def __init__(self) -> None:
        self.armed = 0
        self.firing: Timer | None = None
        self._heap: list[tuple[int, int, _Entry]] = []
        self._count = 0

    def timer(self, action: Callable[[int], object], owner: object = None) -> Timer:
        """A new timer, not armed, that calls ``action(now)``. ``owner``: what has to bear it when the action raises."""
        return _Calling(self, action, owner)

    def push(self, deadline: int, timer: Timer) -> _Entry:
        """Queue an entry; for ``Timer`` alone."""
        entry = _Entry(deadline, timer)
        self._count += 1
        heap = self._heap
        heappush(heap, (deadline, self._count, entry))
        if len(heap) > 2 * self.armed + _USELESS_ENTRIES:
            self.clear_useless()
        return entry

    def clear_useless(self) -> None:
        """Drop the entries that name no timer; for ``Timer`` alone."""
        heap = self._heap
        for _, _, entry in heap:
            if entry.timer is None:
                entry.time = NEVER
        heap[:] = [queued for queued in heap if queued[2].timer is not None]
        heapify(heap)

    def next_deadline(self) -> int | None:
        """When the first armed timer fires (ns), or None."""
        heap = self._heap
        while heap:
            time, _, entry = heap[0]
            if entry.timer is not None and entry.timer.deadline == time:
                return time
            self._requeue_first()
        return None

    def fire(self, now: int) -> int:
        """Have every timer expire that is due at ``now`` (ns), in order of time; how many there were."""
        fired = 0
        heap = self._heap
        while heap and heap[0][0] <= now:
            time, _, entry = heap[0]
            timer = entry.timer
            if timer is None or timer.deadline != time:
                self._requeue_first()
                continue
            heappop(heap)
            entry.time, entry.timer = NEVER, None
            timer.deadline = NEVER
            self.armed -= 1
            self.firing = timer
            timer.expire(now)
            fired += 1
        self.firing = None
        return fired

    def _requeue_first(self) -> None:
        """The first entry is stale: drop it, and queue its timer at the time it really fires."""
        _, _, entry = heappop(self._heap)
        timer = entry.timer
        entry.time, entry.timer = NEVER, None
        if timer is not None:
            timer.set(timer.deadline)
