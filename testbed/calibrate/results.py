"""What a calibration finds, and whether it is as asked."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.units import format_rate

# How many standard deviations the number of lost packets may be away: by chance one link in some thousands.
_LOSS_DEVIATIONS = 3.7


@dataclass(frozen=True)
class Delivery:
    """What small packets met on an idle direction of a link: one-way delay in ms, packets sent and lost.

    `asked_ms` and `asked_loss` are means in the long run; the serialisation of a packet is not part of the delay.
    `loss_spread` is the standard deviation of the number of lost packets that chance gives. `p99_limit_ms` is the
    most that may be for 99 packets of 100.
    """

    asked_ms: float
    mean_ms: float
    sd_ms: float
    p99_ms: float
    sent: int
    lost: int
    asked_loss: float
    loss_spread: float
    tolerance_ms: float
    p99_limit_ms: float

    def __str__(self) -> str:
        return (
            f"delay asked {self.asked_ms:.2f} ms, measured {self.mean_ms:.2f} ± {self.sd_ms:.2f} ms "
            f"(p99 {self.p99_ms:.2f}); loss asked {self.asked_loss:.2%}, measured {self.lost / self.sent:.2%} "
            f"of {self.sent}"
        )

    @property
    def problem(self) -> str | None:
        """What is not as asked, in the user's words."""
        if abs(self.mean_ms - self.asked_ms) > self.tolerance_ms:
            return f"asked for a delay of {self.asked_ms:.1f} ms, measured {self.mean_ms:.1f} ms"
        if self.p99_ms > self.p99_limit_ms:
            return f"one packet of 100 took {self.p99_ms:.1f} ms or more, {self.p99_limit_ms:.1f} ms is allowed"
        if abs(self.lost - self.sent * self.asked_loss) > _LOSS_DEVIATIONS * self.loss_spread:
            return f"asked for {self.asked_loss:.2%} loss, measured {self.lost} of {self.sent} packets"
        return None


@dataclass(frozen=True)
class Depth:
    """How much a direction's queue took before it dropped, in bytes, and how far that may be from what was asked.

    `measured_bytes` is None when packets could not be sent fast enough, at `offered_bps`, to fill it.
    """

    asked_bytes: int
    measured_bytes: int | None
    sent: int
    arrived: int
    tolerance_bytes: int
    offered_bps: int

    def __str__(self) -> str:
        if self.measured_bytes is None:
            return f"queue asked {self.asked_bytes} B, not filled by {format_rate(self.offered_bps)}"
        return f"queue asked {self.asked_bytes} B, measured {self.measured_bytes} B"

    @property
    def problem(self) -> str | None:
        """What is not as asked, in the user's words."""
        measured = self.asked_bytes if self.measured_bytes is None else self.measured_bytes
        if abs(measured - self.asked_bytes) > self.tolerance_bytes:
            return f"asked for a queue of {self.asked_bytes} bytes, measured {self.measured_bytes}"
        return None


@dataclass(frozen=True)
class Calibration:
    """One direction of one link: rates on the wire in bit/s, 0 where none was asked; delay, loss and queue."""

    link: str
    direction: str
    asked_bps: int
    measured_bps: float
    tolerance: float
    kind: str = ""
    delivery: Delivery | None = None
    depth: Depth | None = None

    def __str__(self) -> str:
        rate = f"asked {format_rate(self.asked_bps)}, measured {format_rate(self.measured_bps)}"
        parts = [rate if self.asked_bps else "rate unshaped", *(str(one) for one in (self.delivery, self.depth) if one)]
        return f"{self.link} {self.direction}: {'; '.join(parts)}"

    @property
    def problem(self) -> str | None:
        """What is not as asked, in the user's words."""
        if abs(self.measured_bps - self.asked_bps) > self.tolerance * self.asked_bps:
            return (
                f"asked for {format_rate(self.asked_bps)}, measured {format_rate(self.measured_bps)} "
                f"(more than {self.tolerance:.0%} off)"
            )
        problems = (part.problem for part in (self.delivery, self.depth) if part)
        return next((problem for problem in problems if problem), None)

    @property
    def ok(self) -> bool:
        """Whether everything measured is as asked."""
        return self.problem is None
