"""Pacing: bursts spread over the round trip instead of a window at once, which a short queue would drop whole."""

from typing import Final

from typing_extensions import override

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.storage import Timer
from mptcp_stack.tcp.context import Context
from mptcp_stack.tcp.upper import Upper

_SLOW_START_FACTOR: Final = 2.0
_AVOIDANCE_FACTOR: Final = 1.2
"""Faster than the window by this much, as Linux has it, so that the window and not the pace decides."""

_CREDIT_NS: Final = 1_000_000
"""What a late timer lost may be caught up: about the resolution of an event loop's timers."""


class Pacer(Timer):
    """When the next burst of one sender may leave; it wakes ``upper`` then if something was held back."""

    __slots__ = ("_control", "_next_ns", "_shared", "_upper")
    __deletable__ = ("_upper",)

    def __init__(self, control: CongestionControl, context: Context, upper: Upper) -> None:
        super().__init__(context.timers, upper)
        self._shared = context.shared
        self._control = control
        self._upper = upper
        self._next_ns = 0

    def holds(self, now: int) -> bool:
        """Whether to wait; the timer is set if so."""
        if now >= self._next_ns:
            return False
        if not self.armed:
            self._shared.paced += 1
        self.set_earlier(self._next_ns)
        return True

    def wait_ns(self, now: int) -> int:
        """How long it still holds, 0 if it does not."""
        return max(0, self._next_ns - now)

    def sent(self, size: int, srtt_ns: int, now: int) -> None:
        """``size`` bytes left at ``now``, on a path whose rate the window and ``srtt_ns`` tell."""
        control = self._control
        factor = _SLOW_START_FACTOR if control.in_slow_start else _AVOIDANCE_FACTOR
        byte_ns = srtt_ns / (factor * control.cwnd)
        credit_ns = _CREDIT_NS
        if not control.in_slow_start:
            credit_ns = max(credit_ns, int(control.catch_up_bytes * byte_ns))
        self._next_ns = max(self._next_ns, now - credit_ns) + int(size * byte_ns)

    @override
    def expire(self, now: int) -> None:
        self._shared.paced -= 1
        self._upper.wake()

    @override
    def cancel(self) -> None:
        if self.armed:
            self._shared.paced -= 1
        super().cancel()

    @override
    def end(self) -> None:
        super().end()
        del self._upper
