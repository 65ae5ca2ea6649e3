"""What the coupled congestion controls have in common: an increase that depends on all subflows of the connection."""

from abc import abstractmethod

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.base import MINIMUM_WINDOW_SEGMENTS, CongestionControl


@mypyc_attr(allow_interpreted_subclasses=True)
class Coupled(CongestionControl):
    """Slow start and decrease are those of Reno unless a subclass says otherwise.

    The other subflows are looked at once a round trip and after a loss, as RFC 6356 section 4 suggests, and not for
    every acknowledgement.
    """

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self._gain = 0.0
        self._gain_round = -1

    def increase(self, acked_bytes: float, now: int) -> float:
        if self._gain_round != self.round_trip:
            self._gain_round = self.round_trip
            self._gain = self.gain()
        # A negative gain (OLIA has it) does not go below the smallest window.
        return max(self._gain * acked_bytes * self.mss, MINIMUM_WINDOW_SEGMENTS * self.mss - self.cwnd)

    def on_congestion(self, now: int) -> None:
        super().on_congestion(now)
        self._gain_round = -1

    @abstractmethod
    def gain(self) -> float:
        """How many segments the window grows by for each byte acknowledged; ``1 / cwnd`` is Reno."""
        raise NotImplementedError(f"{type(self).__name__} lacks gain")
