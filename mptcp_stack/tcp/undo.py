"""Taking back the reduction of a window for losses that were none (RFC 4015), with what shows that they were none."""

from typing import Any

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.storage import NEVER
from mptcp_stack.tcp.context import TIMESTAMP_UNIT_NS


class Undo:
    """The window and its control's state before the last reduction, and what has been sent again since.

    Two things show that nothing was lost: an acknowledgement that answers something sent before the timeout (Eifel,
    RFC 3522), and reports of the receiver that all repetitions were duplicates (RFC 2883, RFC 3708).
    """

    __slots__ = (
        "_all_duplicate_bytes", "_all_resent_bytes", "_control", "_duplicate_bytes", "_memory", "_resent_bytes",
        "_start", "_timeout_ns",
    )  # fmt: skip

    def __init__(self, control: CongestionControl) -> None:
        self._control = control
        self._memory: dict[str, Any] = {}
        self._start = NEVER
        self._timeout_ns = NEVER
        self._resent_bytes = 0
        self._duplicate_bytes = 0
        self._all_resent_bytes = 0
        self._all_duplicate_bytes = 0

    def remember(self, una: int, resent_bytes: int, timeout_ns: int = NEVER) -> None:
        """The window is about to be reduced. ``resent_bytes``: beyond ``una``, already; ``timeout_ns``: the reason."""
        self._memory = self._control.memory()
        self._start = una
        self._timeout_ns = timeout_ns
        self._resent_bytes = resent_bytes
        self._duplicate_bytes = 0

    def forget(self) -> None:
        """The window stays as it is."""
        self._start = self._timeout_ns = NEVER

    def on_resent(self, size: int) -> None:
        """So many bytes were sent again."""
        self._resent_bytes += size
        self._all_resent_bytes += size

    def believes(self, start: int, end: int) -> bool:
        """Whether a report of duplicates can be about our repetitions; a network that copies packets causes more."""
        self._all_duplicate_bytes += end - start
        if start >= self._start:
            self._duplicate_bytes += end - start
        return self._all_duplicate_bytes <= self._all_resent_bytes

    def all_were_duplicates(self) -> bool:
        """Whether everything that was sent again since the reduction has been reported as a duplicate."""
        return self._start != NEVER and 0 < self._resent_bytes <= self._duplicate_bytes

    def was_no_timeout(self, echo_age_ns: int, now: int) -> bool:
        """The first acknowledgement that advances after a timeout: whether it echoes what was sent before that.

        Timestamps are compared (RFC 3522 section 3.2), as whole numbers: by an age that is rounded up every other
        timeout with losses would have been none, of which each repairs one segment.
        """
        timeout_ns, self._timeout_ns = self._timeout_ns, NEVER
        since = now // TIMESTAMP_UNIT_NS - timeout_ns // TIMESTAMP_UNIT_NS
        return timeout_ns != NEVER and echo_age_ns // TIMESTAMP_UNIT_NS - 1 > since

    def restore(self) -> None:
        """Have the window again as it was, if it has not become larger since, and what goes with it."""
        self._control.restore(self._memory)
        self.forget()
