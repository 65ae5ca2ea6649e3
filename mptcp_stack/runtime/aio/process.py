"""Settings of the whole process that a stack in Python profits from; figures are of CPython 3.11 and glibc 2.36."""

from __future__ import annotations

import ctypes
import gc

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 256 << 20
_LARGEST_FROM_HEAP_BYTES = 32 << 20
"""As much as glibc takes for it where addresses have 64 bits (mallopt(3))."""

_DEFAULT_GC_THRESHOLD = (700, 10, 10)
_GC_THRESHOLD = (50_000, 20, 100)
"""Chosen: short connections are gone before the first look; so many objects more may lie in cycles until it comes."""


def tune_process() -> None:
    """Let this process keep freed memory, and look for garbage in cycles less often. May be called again.

    Every received super-segment is a fresh 64 KB buffer. glibc gives freed buffers back to the kernel when 128 KB of
    them lie at the top of the heap, so that each burst pays page faults again: reading a 60 KB super-segment from a TUN
    device in batches of 64 takes 35 us that way, and 5 us when up to 256 MB are kept.

    A connection is some eighty objects that live for milliseconds and go by reference counts, as its parts let go of
    each other at its end. With the default thresholds the collector of cycles looks at them all the same, again and
    again as there are more of them; applications' cycles it finds later now. Thresholds that somebody else has changed
    are left alone.
    """
    _keep_freed_memory()
    if gc.get_threshold() == _DEFAULT_GC_THRESHOLD:
        gc.set_threshold(*_GC_THRESHOLD)


def _keep_freed_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Without glibc there is none.
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP_BYTES)
