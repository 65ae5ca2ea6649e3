"""Links whose weather changes: delay, jitter, loss, rate and queue are drawn anew, and they may go dark."""

from dataclasses import dataclass, replace
from random import Random

from mptcp_stack.sim import MILLISECOND, SECOND, Link, LinkSpec

DARK_TIMES_S = (0.05, 0.5, 3, 20, 90)
LATEST_COPY_NS = 40 * SECOND
"""Within the time that TIME-WAIT allows a segment to live."""


@dataclass(frozen=True)
class Climate:
    """What weather is drawn from: one of each, for ``lasts_s`` on average; ``darkness`` is the chance of a dark time.

    ``jitters_ms`` is how much a packet may be later than the one before, which reorders; ``copies`` are the chances of
    a second one soon after, ``late_copies`` of one seconds later.
    """

    lasts_s: float
    delays_ms: tuple[int, ...]
    rates_bps: tuple[int, ...]
    queues_bytes: tuple[int, ...]
    jitters_ms: tuple[int, ...] = (0,)
    losses: tuple[float, ...] = (0,)
    copies: tuple[float, ...] = (0,)
    late_copies: tuple[float, ...] = (0,)
    corruption: tuple[float, ...] = (0,)
    darkness: float = 0


CLIMATES = {
    "calm": Climate(10, (1, 10, 40), (20_000_000, 1_000_000_000), (100_000,)),
    "reordering": Climate(
        2, (1, 20, 100), (1_000_000, 20_000_000, 500_000_000), (20_000, 200_000), jitters_ms=(0, 50, 400, 1500),
        losses=(0, 0, 0.01), copies=(0, 0.1), late_copies=(0, 0.01, 0.05),
    ),
    "jumping": Climate(
        0.5, (1, 5, 50, 300, 1200), (300_000, 10_000_000, 200_000_000), (3000, 50_000, 1_000_000), jitters_ms=(0, 5),
        losses=(0, 0.02), late_copies=(0, 0.01), corruption=(0, 0, 0.02),
    ),
    "copying": Climate(
        5, (5, 30), (5_000_000,), (50_000,), jitters_ms=(0, 30), losses=(0, 0.05), copies=(0.3, 1.0),
        late_copies=(0.1, 0.3),
    ),
    "dark": Climate(
        3, (5, 30), (1_000_000, 20_000_000), (10_000, 100_000), jitters_ms=(0, 10), losses=(0, 0.01, 0.3),
        copies=(0, 0.02), late_copies=(0, 0.02), darkness=0.4,
    ),
}  # fmt: skip
HARMLESS = frozenset(CLIMATES) - {"dark"}
"""Where no connection dies of the weather alone."""


class ChangingLink(Link):
    """One direction of a link. ``dead``: nothing gets through any more; ``settled``: nothing bad happens any more."""

    def __init__(self, random: Random, climate: Climate, mtu: int) -> None:
        super().__init__(LinkSpec(mtu=mtu), random)
        self.dead = False
        self.settled = False
        self._climate = climate
        self._jitter_ns = 0
        self._late_copies = 0.0
        self._changes_ns = self._dark_until_ns = 0

    def settle(self, now_ns: int) -> None:
        """From now on the weather is fair."""
        self.settled = True
        self.dead = False
        self.spec = LinkSpec(20_000_000, 10 * MILLISECOND, 200_000, self.spec.mtu)
        self._jitter_ns, self._late_copies, self._free_ns = 0, 0.0, now_ns

    def transfer(self, packet: bytes, now_ns: int) -> list[tuple[int, bytes]]:
        """See ``Link``."""
        if not self.settled:
            self._change(now_ns)
            if self.dead or now_ns < self._dark_until_ns:
                return []
        random = self._random
        arrivals = super().transfer(packet, now_ns)
        if self._jitter_ns:
            arrivals = [(at_ns + random.randrange(self._jitter_ns), one) for at_ns, one in arrivals]
        if arrivals and self._drawn(self._late_copies):
            arrivals.append((now_ns + random.randrange(SECOND, LATEST_COPY_NS), packet))
        return arrivals

    def _change(self, now_ns: int) -> None:
        if now_ns < self._changes_ns:
            return
        random, climate = self._random, self._climate
        self._changes_ns = now_ns + int(random.expovariate(1 / climate.lasts_s) * SECOND)
        self._jitter_ns = random.choice(climate.jitters_ms) * MILLISECOND
        self._late_copies = random.choice(climate.late_copies)
        self.spec = replace(
            self.spec,
            rate_bps=random.choice(climate.rates_bps),
            delay_ns=random.choice(climate.delays_ms) * MILLISECOND,
            queue_bytes=max(random.choice(climate.queues_bytes), self.spec.mtu),
            loss=random.choice(climate.losses),
            duplicate=random.choice(climate.copies),
            corrupt=random.choice(climate.corruption),
        )
        if self._drawn(climate.darkness):
            self._dark_until_ns = now_ns + int(random.choice(DARK_TIMES_S) * SECOND)
