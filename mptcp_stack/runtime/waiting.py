"""How an event loop of ours waits: for any number of descriptors, closed ones too, and times finer than epoll's.

The stack has no part in asyncio's queues of callbacks and timers: what it has to do is done before the loop waits and
after it, and the wait ends with the stack's own deadline. So a packet costs one turn of the loop and one wait; with
callbacks it was two turns, each with a wait, and an entry in the loop's heap of timers.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

from mypy_extensions import mypyc_attr
from typing_extensions import override

_MILLISECOND_S: Final = 1e-3
_LONGEST_WAIT_S: Final = 24 * 3600.0
"""asyncio's own; epoll takes no more than 24.8 days."""
_FD_SETSIZE: Final = 1024
"""From sys/select.h: `select` takes no descriptor beyond."""
_WRITE_ONLY: Final = ~select.EPOLLIN
_READ_ONLY: Final = ~select.EPOLLOUT


class Participant(Protocol):
    """Who takes part in a loop's waits, and raises only what is to end the loop: SystemExit, KeyboardInterrupt."""

    def before_wait(self, timeout: float | None) -> float | None:
        """Do what is to be done before the loop waits `timeout` seconds (None: for ever); how long it may wait.

        0 when it may have set timers of asyncio's: the loop looks at them first.
        """

    def after_wait(self) -> None:
        """Do what the time has come for."""


@mypyc_attr(native_class=False)  # the base is Python's
class FineSelector(selectors.EpollSelector):
    """Epoll, which rounds waits up to a millisecond, made fine enough for pacing.

    Of a longer wait epoll takes the whole milliseconds, and the loop, which sees that it is not yet time, comes back
    for the rest: that is a `select` on epoll's own descriptor alone. Should that number be beyond what `select` takes,
    the rest is rounded as epoll has it. So most waits are one system call; measured in microseconds of CPU time, with
    3 and with 400 descriptors: 0.9 and 1.9 without waiting (`select` on all of them: 2.3 and 25), 2.3 and 2.4 for a
    wait of milliseconds (3.3 and 26), 3.9 for a shorter one (3.2).

    A descriptor may be closed while something waits for it. Then epoll forgets it, unless a copy of it is open
    somewhere: its events go on, and nobody can take it out by its number. A new epoll without it is the only way.
    """

    _fd_to_key: dict[int, selectors.SelectorKey]
    _selector: select.epoll

    def __init__(self) -> None:
        super().__init__()
        self.participants: tuple[Participant, ...] = ()
        self.readers: dict[int, Callable[[], None]] = {}
        """By descriptor: what is called in the wait, in place of whoever registered it."""
        self.callbacks: Collection[object] = ()
        """What the loop has to call before it may wait. Participants add to it, and so may a finalizer at any time."""
        self._stale = False
        self._taken_out: set[int] = set()
        """Since the wait began, while epoll still had them."""

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; may return early, with nothing."""
        if self._stale:
            self._renew()
        self._taken_out.clear()
        for participant in self.participants:
            timeout = participant.before_wait(timeout)
        found = self._poll(0.0 if self.callbacks else timeout)
        for descriptor, _ in found:
            read = self.readers.get(descriptor)
            if read is not None and descriptor in self._fd_to_key:
                read()
        for participant in self.participants:
            participant.after_wait()
        return self._ready(found)

    def _ready(self, found: list[tuple[int, int]]) -> list[tuple[selectors.SelectorKey, int]]:
        """What was `found`, by the keys of now: participants may have closed a descriptor, and used its number again.

        Who has it now is told for nothing, as may happen to everybody; by an old key the loop would take it out.
        """
        keys = self._fd_to_key
        ready = []
        for descriptor, events in found:
            key = keys.get(descriptor)
            if key is None:
                self._stale = self._stale or descriptor not in self._taken_out
                continue
            if descriptor in self.readers:
                continue
            mask = (selectors.EVENT_WRITE if events & _WRITE_ONLY else 0) | (
                selectors.EVENT_READ if events & _READ_ONLY else 0
            )
            if mask & key.events:
                ready.append((key, mask & key.events))
        return ready

    def _poll(self, timeout: float | None) -> list[tuple[int, int]]:
        limit = len(self._fd_to_key) or 1
        if timeout is None:
            return self._selector.poll(None, limit)
        timeout = min(timeout, _LONGEST_WAIT_S)
        if timeout >= _MILLISECOND_S:
            # Half a millisecond less, for epoll rounds up.
            return self._selector.poll((int(timeout * 1e3) - 0.5) * _MILLISECOND_S, limit)
        if timeout > 0:
            own = self._selector.fileno()
            if own >= _FD_SETSIZE:
                return self._selector.poll(timeout, limit)
            select.select((own,), (), (), timeout)
        return self._selector.poll(0, limit)

    @override
    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Wait for other events. The number may stand for another file than when it was registered."""
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    @override
    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        descriptor = self.get_key(fileobj).fd
        try:
            self._selector.unregister(descriptor)
            self._taken_out.add(descriptor)
        except OSError:
            self._stale = True  # it was closed before
        return super().unregister(fileobj)

    def _renew(self) -> None:
        """Begin again with the descriptors that are still open."""
        try:
            old, self._selector = self._selector, select.epoll()
        except OSError:
            return  # no descriptor is left: next time
        self._stale = False
        old.close()
        for key in self._fd_to_key.values():
            wanted = (select.EPOLLIN if key.events & selectors.EVENT_READ else 0) | (
                select.EPOLLOUT if key.events & selectors.EVENT_WRITE else 0
            )
            try:
                self._selector.register(key.fd, wanted)
            except OSError:
                continue  # closed, too
