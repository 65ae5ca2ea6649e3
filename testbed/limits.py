"""An end for what might have none."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SOON_S = 1e-3
"""For a limit that has passed meanwhile: zero would switch it off."""


@contextmanager
def time_limit(seconds: float, why: str) -> Iterator[None]:
    """Raise TimeoutError, which says `why`, in a block that takes longer; only a process's main thread has a limit.

    It ends Python code and calls of the system (by SIGALRM), not a long computation in C. A limit around this one, of
    whatever else uses the signal, goes on afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TimeoutError(f"not done within {seconds:g} s: {why}")

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, end)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), _SOON_S), interval)
