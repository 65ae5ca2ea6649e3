"""What can go wrong on the paths, as a table: a row is a name and how to draw one case of it.

A case says what each path does in each direction, and whether the transfer has to come through: where the only path
of the first handshake dies for good, it only has to end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Middlebox
from tests.sim.scenes import PATH

Way = tuple[LinkSpec, LinkSpec]
"""Client to server, and back."""


@dataclass
class Case:
    """Two paths by default. ``settings`` go before those that are drawn at random."""

    ways: list[Way]
    middleboxes: list[Middlebox | None] = field(default_factory=lambda: [None, None])
    settings: dict[str, Any] = field(default_factory=dict)
    must_arrive: bool = True


def both(**fields: Any) -> Case:
    """Two paths that differ from the usual one in some fields, in both directions."""
    spec = replace(PATH, **fields)
    return Case([(spec, spec), (spec, spec)])


def bursts(random: Random, begin: float, end: float) -> Middlebox:
    """Loses all packets of a bad time, which begins and ends with a packet by these chances (Gilbert, Elliott)."""
    bad = False

    def middlebox(packet: bytes) -> list[bytes]:
        nonlocal bad
        bad = random.random() >= end if bad else random.random() < begin
        return [] if bad else [packet]

    return middlebox


def dying(packets: int) -> Middlebox:
    """Lets so many packets pass, of both directions together, and then none."""
    passed = 0

    def middlebox(packet: bytes) -> list[bytes]:
        nonlocal passed
        passed += 1
        return [packet] if passed <= packets else []

    return middlebox


def narrowing(packets: int, limit_bytes: int) -> Middlebox:
    """After so many packets the path loses what is longer than ``limit_bytes``, and nobody says why (RFC 2923)."""
    passed = 0

    def middlebox(packet: bytes) -> list[bytes]:
        nonlocal passed
        passed += 1
        return [packet] if passed <= packets or len(packet) <= limit_bytes else []

    return middlebox


def smaller_mtu(random: Random) -> Case:
    case = both()
    case.middleboxes = [narrowing(random.randrange(60), random.choice([600, 1000, 1400])) for _ in case.ways]
    return case


def burst_loss(random: Random) -> Case:
    case = both()
    case.middleboxes = [bursts(random, 0.01, 0.3) for _ in case.ways]
    return case


def blackout(random: Random) -> Case:
    """Each path goes away once, at its own time."""
    specs = []
    for _ in range(2):
        start_ns = random.randrange(3 * SECOND)
        gap = (start_ns, start_ns + random.randrange(100, 3000) * MILLISECOND)
        specs.append(replace(PATH, rate_bps=1_000_000, blackouts=(gap,)))
    return Case([(spec, spec) for spec in specs])


def asymmetric_delay(random: Random) -> Case:
    def way() -> Way:
        there, back = (replace(PATH, delay_ns=random.choice([0, 1, 10, 75, 300]) * MILLISECOND) for _ in range(2))
        return there, back

    return Case([way(), way()])


def unequal_paths(random: Random) -> Case:
    rates = random.sample([300_000, 1_000_000, 5_000_000, 50_000_000, 400_000_000], 2)
    specs = [replace(PATH, rate_bps=rate, delay_ns=random.choice([1, 20, 150]) * MILLISECOND) for rate in rates]
    return Case([(spec, spec) for spec in specs])


def tiny_windows(random: Random) -> Case:
    case = both(loss=random.choice([0, 0.02]))
    case.settings = {"receive_buffer_bytes": random.choice([1500, 3000, 6000])}
    return case


def second_path_dies(random: Random) -> Case:
    """After any packet of its life, from its first SYN on."""
    case = both()
    case.middleboxes[1] = dying(random.randrange(40))
    return case


def first_path_dies(random: Random) -> Case:
    """After any packet; before the second path has joined nothing can save the connection.

    An end that only receives cannot notice a silent death, unless it asks.
    """
    case = both()
    case.middleboxes[0] = dying(random.randrange(60))
    case.settings = {"keep_alive": True, "keep_alive_idle_ns": 60 * SECOND, "keep_alive_interval_ns": 10 * SECOND}
    case.must_arrive = False
    return case


def everything(random: Random) -> Case:
    def spec() -> LinkSpec:
        return LinkSpec(
            rate_bps=random.choice([500_000, 10_000_000]),
            delay_ns=random.choice([1, 50]) * MILLISECOND,
            queue_bytes=random.choice([8000, 50_000]),
            loss=0.03,
            reorder=0.05,
            reorder_extra_ns=random.choice([2, 30]) * MILLISECOND,
            duplicate=0.05,
            corrupt=0.02,
        )

    case = Case([(spec(), spec()), (spec(), spec())])
    case.middleboxes = [bursts(random, 0.005, 0.4) for _ in case.ways]
    return case


FAULTS: dict[str, Callable[[Random], Case]] = {
    "none": lambda random: both(),
    "loss": lambda random: both(loss=random.choice([0.01, 0.05, 0.2])),
    "burst loss": burst_loss,
    "reordering": lambda random: both(reorder=random.choice([0.01, 0.3]), reorder_extra_ns=30 * MILLISECOND),
    "duplication": lambda random: both(duplicate=random.choice([0.05, 0.5])),
    "corruption": lambda random: both(corrupt=random.choice([0.01, 0.1])),
    "short queue": lambda random: both(queue_bytes=random.choice([3000, 6000])),
    "blackout": blackout,
    "smaller MTU": smaller_mtu,
    "asymmetric delay": asymmetric_delay,
    "unequal paths": unequal_paths,
    "tiny windows": tiny_windows,
    "second path dies": second_path_dies,
    "first path dies": first_path_dies,
    "everything": everything,
}
