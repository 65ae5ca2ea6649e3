"""Sequence numbers: how they wrap (RFC 9293 section 3.4, RFC 8684 section 3.3).

Above this module every sequence number is *unwrapped*: a plain integer that only grows and compares with ``<``. On the
way in a truncated number is expanded next to one already known; on the way out it is cut to its width again.
"""

from typing import Final

MASK_32: Final = 0xFFFF_FFFF
MASK_64: Final = 0xFFFF_FFFF_FFFF_FFFF

_HALF_32: Final = 1 << 31
_HALF_64: Final = 1 << 63


def expand_32(truncated: int, near: int) -> int:
    """The number closest to ``near`` that is ``truncated`` modulo 2**32."""
    return near + ((truncated - near + _HALF_32) & MASK_32) - _HALF_32


def expand_64(truncated: int, near: int) -> int:
    """The number closest to ``near`` that is ``truncated`` modulo 2**64."""
    return near + ((truncated - near + _HALF_64) & MASK_64) - _HALF_64
