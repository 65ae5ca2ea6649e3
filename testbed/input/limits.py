"""An end for what might have none."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, NoReturn

_TIMERS = {
    "any": (signal.ITIMER_REAL, signal.SIGALRM, time.monotonic),
    "processor": (signal.ITIMER_PROF, signal.SIGPROF, time.process_time),
}
_SOON_S = 1e-3
"""For a limit that has passed meanwhile: zero would switch it off."""


@contextmanager
def time_limit(seconds: float, why: str, of: Literal["any", "processor"] = "any") -> Iterator[None]:
    """Raise TimeoutError, which says `why`, in a block that takes longer; only a process's main thread has a limit.

    It ends Python code and calls of the system (by a signal), not a long computation in C. A limit around this one, of
    whatever else uses the signal, goes on afterwards. `of="processor"`: what computes, however busy the machine is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"not done within {seconds:g} s: {why}")

    timer, number, clock = _TIMERS[of]
    began = clock()
    handler = signal.signal(number, end)
    left, interval = signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, handler)
        if left:
            signal.setitimer(timer, max(left - (clock() - began), _SOON_S), interval)
