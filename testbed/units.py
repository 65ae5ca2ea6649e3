"""Quantities as people write them ("50 Mbit/s", "100 kB", "10 ms", "1 %"), as numbers in base units."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

MOST_BPS = 10**12
MOST_BYTES = 10**11
MOST_NS = 24 * 3600 * 10**9
MOST_DELAY_NS = 60 * 10**9
MOST_QUEUE_BYTES, MOST_QUEUE_PACKETS, MOST_QUEUE_BDP = 10**9, 10**6, 1000
"""What may be asked for at the most: beyond what any link has or a run could last; a slip of the hand stops here."""

_RATE_UNITS = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "KiB": 2**10, "MiB": 2**20}
_TIME_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?)\s*(\S*)")


def _parse(value: Any, units: dict[str, int], example: str, most: int, least: int = 1) -> int:
    """`value` in the base unit, from `least` to `most` of it; ValueError (for pydantic) that shows how to write it."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f'must look like "{example}"')
    match = _QUANTITY.fullmatch(str(value).strip())
    unit = match.group(2) if match else "?"
    if match is None or (unit and unit not in units):
        raise ValueError(f'must look like "{example}"; units are {", ".join(units)}')
    exact = float(match.group(1)) * units.get(unit, 1)
    if exact > most:
        decimal = {unit: factor for unit, factor in units.items() if "i" not in unit.removesuffix("bit/s")}
        raise ValueError(f"must be at most {format_exact(most, decimal)}")
    amount = round(exact)
    if amount < least:
        raise ValueError(f'must {"be positive" if least else "not be negative"}, e.g. "{example}"')
    return amount


def parse_rate_bps(value: Any) -> int:
    """Bit/s of "50 Mbit/s" or of a plain number of bit/s; ValueError otherwise."""
    return _parse(value, _RATE_UNITS, "50 Mbit/s", MOST_BPS)


def parse_size_bytes(value: Any) -> int:
    """Bytes of "100 kB" or of a plain number of bytes; ValueError otherwise."""
    return _parse(value, _SIZE_UNITS, "100 kB", MOST_BYTES)


def parse_queue(value: Any) -> tuple[float, str]:
    """Amount and unit ("bytes", "packets" or "bdp") of "100 kB", "60 packets" or "1.5 bdp"; ValueError otherwise."""
    example = 'must look like "100 kB", "60 packets" or "1.5 bdp" (bandwidth x delay)'
    match = _QUANTITY.fullmatch(str(value).strip())
    unit = match.group(2) if match else ""
    if match and unit in ("packet", "packets", "bdp"):
        amount = float(match.group(1))
        most = MOST_QUEUE_BDP if unit == "bdp" else MOST_QUEUE_PACKETS
        if amount > most:
            raise ValueError(f"must be at most {most} {unit}")
        if amount <= 0 or (unit != "bdp" and not amount.is_integer()):
            raise ValueError(example)
        return amount, "bdp" if unit == "bdp" else "packets"
    try:
        return _parse(value, _SIZE_UNITS, "100 kB", MOST_QUEUE_BYTES), "bytes"
    except ValueError as error:
        raise ValueError(f"{example}: {error}" if match and unit in ("", *_SIZE_UNITS) else example) from None


def parse_time_ns(value: Any) -> int:
    """Nanoseconds of "10 ms" or of a plain number of nanoseconds, zero allowed; ValueError otherwise."""
    return _parse(value, _TIME_UNITS, "10 ms", MOST_NS, least=0)


def parse_delay_ns(value: Any) -> int:
    """As `parse_time_ns`, of a packet on its way: a minute at the most."""
    return _parse(value, _TIME_UNITS, "10 ms", MOST_DELAY_NS, least=0)


def parse_probability(value: Any) -> float:
    """The probability of "1 %" or of a number from 0 to 1; ValueError otherwise."""
    text = str(value).strip()
    percent = text.endswith("%")
    try:
        probability = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        probability = -1.0
    if isinstance(value, bool) or not 0 <= probability <= 1:
        raise ValueError('must be a probability, e.g. "1 %" or 0.01')
    return probability


def format_rate(rate_bps: float) -> str:
    """A rate for people: "50.0 Mbit/s"."""
    for unit, factor in reversed(_RATE_UNITS.items()):
        if rate_bps >= factor:
            return f"{rate_bps / factor:.1f} {unit}"
    return f"{rate_bps:.0f} bit/s"


def format_exact(amount: float, units: dict[str, int] | None = None) -> str:
    """An amount in the largest of `units` (of a time by default) that it has at least one of: "1.5 ms", "80 kB"."""
    units = units or _TIME_UNITS
    unit, factor = max(((u, f) for u, f in units.items() if amount >= f), key=lambda one: one[1], default=("", 1))
    return f"{amount / factor:g} {unit}".strip()


def format_size(size_bytes: float) -> str:
    """A size in decimal units: "100 kB"."""
    return format_exact(size_bytes, {unit: factor for unit, factor in _SIZE_UNITS.items() if "i" not in unit})


RateBps = Annotated[int, BeforeValidator(parse_rate_bps)]
SizeBytes = Annotated[int, BeforeValidator(parse_size_bytes)]
TimeNs = Annotated[int, BeforeValidator(parse_time_ns)]
DelayNs = Annotated[int, BeforeValidator(parse_delay_ns)]
Probability = Annotated[float, BeforeValidator(parse_probability)]
