"""The interface of a congestion control. Adding one: subclass ``CongestionControl`` and register its name.

Everything is counted in bytes, so that a super-segment counts as what it carries (RFC 3465).

What ``mypyc_attr`` says here and for schedulers and path managers: classes that are not compiled inherit from this one.
The methods that they must have raise NotImplementedError here, as a compiled one that does nothing would call itself.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

from mypy_extensions import mypyc_attr

from mptcp_stack.congestion.hystart import HyStart

INITIAL_WINDOW_SEGMENTS: Final = 10
"""RFC 6928."""

MINIMUM_WINDOW_SEGMENTS: Final = 2
"""RFC 5681 section 3.1, equation 4."""


@mypyc_attr(allow_interpreted_subclasses=True)
class CongestionControl(ABC):
    """The congestion window of one subflow.

    ``group`` holds the controls of all subflows of the connection, this one included: what a coupled control looks at.
    ``cwnd`` and ``ssthresh`` are bytes; ``srtt_ns`` and ``rtt_ns``, the latest sample, nanoseconds (0 before the first
    one); ``round_trip`` is the number of the current round trip. ``active``: something is under way, and the
    retransmission timer has not expired since it was sent.
    """

    name: ClassVar[str] = ""
    remembered: ClassVar[tuple[str, ...]] = ("_hystart",)
    """Attributes that a reduction changes, beside the window, and that go back to what they were if it was in vain."""
    uses_hystart: ClassVar[bool] = True
    """Leave the first slow start when the round-trip time grows (RFC 9406)."""

    def __init__(self, mss: int, group: list["CongestionControl"]) -> None:
        self.mss = mss
        self.group = group
        self.cwnd = float(INITIAL_WINDOW_SEGMENTS * mss)
        self.ssthresh = float("inf")
        self.srtt_ns = 0
        self.rtt_ns = 0
        self.round_trip = 0
        self.active = False
        self._hystart = HyStart() if self.uses_hystart else None

    @property
    def in_slow_start(self) -> bool:
        """RFC 5681 section 3.1."""
        return self.cwnd < self.ssthresh

    @property
    def catch_up_bytes(self) -> int:
        """By how much pacing may be behind in congestion avoidance and still catch up in a burst.

        A window no larger than a connection's first one may leave at once, as that does (RFC 6928): spread behind
        acknowledgements each of which waits for two segments it takes longer than a round trip (3 % lost, in the lab:
        5 ± 4 % less goodput). A larger one follows its acknowledgements, each of which may release several segments.
        """
        return (INITIAL_WINDOW_SEGMENTS if self.cwnd <= INITIAL_WINDOW_SEGMENTS * self.mss else 2) * self.mss

    def members(self) -> list["CongestionControl"]:
        """This subflow and the others of the connection that compete with it: data under way, no timeout since.

        So a path that is dead and a backup that is not used neither slow down the others nor speed them up.
        """
        return [member for member in self.group if member is self or (member.active and member.srtt_ns)]

    def on_ack(self, acked_bytes: int, now: int) -> None:
        """``acked_bytes`` left the network while the window was in full use and nothing was being repaired."""
        if self.cwnd < self.ssthresh:
            self._slow_start(acked_bytes)
        else:
            # Only whole segments are in flight: counted so, a window of them is acknowledged in a round trip.
            whole = self.cwnd - self.cwnd % self.mss or self.cwnd
            self.cwnd += self.increase(acked_bytes * self.cwnd / whole, now)

    def _slow_start(self, acked_bytes: int) -> None:
        growth: float | None = acked_bytes
        if self._hystart is not None:
            growth = self._hystart.growth(acked_bytes, self.mss, self.rtt_ns, self.round_trip)
        if growth is None:
            self.ssthresh = self.cwnd
        else:
            self.cwnd = min(self.cwnd + growth, self.ssthresh)

    @abstractmethod
    def increase(self, acked_bytes: float, now: int) -> float:
        """Bytes to add to the window in congestion avoidance."""
        raise NotImplementedError(f"{type(self).__name__} lacks increase")

    def decrease(self, now: int) -> float:
        """The new ``ssthresh`` in bytes after a loss; halves by default (RFC 5681)."""
        return self.cwnd / 2

    def on_congestion(self, now: int) -> None:
        """A loss was detected and recovery begins: once a window of data.

        It is reduced from the whole segments that may have been in flight to whole segments, as in Linux: where windows
        are of a few segments, fractions that are kept make a flow faster (cubic, 3 % lost, in the simulator: a fifth).
        """
        self._hystart = None
        self.cwnd = float(max(self._whole(self.cwnd), self.mss))
        self.ssthresh = float(max(self._whole(self.decrease(now)), MINIMUM_WINDOW_SEGMENTS * self.mss))
        self.cwnd = self.ssthresh

    def _whole(self, size: float) -> int:
        """The whole segments in ``size`` bytes, in bytes; what a sum of fractions lacks of one is not missed."""
        return int(size / self.mss + 1e-6) * self.mss

    def memory(self) -> dict[str, Any]:
        """What ``restore`` wants; to be asked before ``on_congestion``."""
        return {name: getattr(self, name) for name in ("cwnd", "ssthresh", *self.remembered)}

    def restore(self, memory: dict[str, Any]) -> None:
        """There was no loss: go on as before, with the larger window of then and now (RFC 4015, RFC 9438 4.9)."""
        cwnd, ssthresh = self.cwnd, self.ssthresh
        for name, value in memory.items():
            setattr(self, name, value)
        self.cwnd, self.ssthresh = max(self.cwnd, cwnd), max(self.ssthresh, ssthresh)

    def penalise(self) -> None:
        """The subflow is too slow for the window of its connection: halve, without a loss (NSDI 2012 section 4.2)."""
        self.cwnd = max(self.cwnd / 2, MINIMUM_WINDOW_SEGMENTS * self.mss)
        self.ssthresh = min(self.ssthresh, self.cwnd)

    def on_timeout(self, now: int) -> None:
        """The retransmission timer expired, after ``on_congestion`` if that is due: one segment (RFC 5681)."""
        self.cwnd = float(self.mss)
