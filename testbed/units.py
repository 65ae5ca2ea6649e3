"""Quantities as people write them ("50 Mbit/s", "100 kB", "10 ms", "1 %"), as numbers in base units."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_RATE_UNITS = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "KiB": 2**10, "MiB": 2**20}
_TIME_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?)\s*(\S*)")


def _parse(value: Any, units: dict[str, int], example: str, least: int = 1) -> int:
    """`value` in the base unit, at least `least` of it; ValueError (for pydantic) that shows how to write it."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f'must look like "{example}"')
    match = _QUANTITY.fullmatch(str(value).strip())
    unit = match.group(2) if match else "?"
    if match is None or (unit and unit not in units):
        raise ValueError(f'must look like "{example}"; units are {", ".join(units)}')
    amount = round(float(match.group(1)) * units.get(unit, 1))
    if amount < least:
        raise ValueError(f'must {"be positive" if least else "not be negative"}, e.g. "{example}"')
    return amount


def parse_rate_bps(value: Any) -> int:
    """Bit/s of "50 Mbit/s" or of a plain number of bit/s; ValueError otherwise."""
    return _parse(value, _RATE_UNITS, "50 Mbit/s")


def parse_size_bytes(value: Any) -> int:
    """Bytes of "100 kB" or of a plain number of bytes; ValueError otherwise."""
    return _parse(value, _SIZE_UNITS, "100 kB")


def parse_queue(value: Any) -> tuple[float, str]:
    """Amount and unit ("bytes", "packets" or "bdp") of "100 kB", "60 packets" or "1.5 bdp"; ValueError otherwise."""
    example = 'must look like "100 kB", "60 packets" or "1.5 bdp" (bandwidth x delay)'
    match = _QUANTITY.fullmatch(str(value).strip())
    unit = match.group(2) if match else ""
    if match and unit in ("packet", "packets", "bdp"):
        amount = float(match.group(1))
        if amount <= 0 or (unit != "bdp" and not amount.is_integer()):
            raise ValueError(example)
        return amount, "bdp" if unit == "bdp" else "packets"
    try:
        return parse_size_bytes(value), "bytes"
    except ValueError as error:
        raise ValueError(f"{example}: {error}" if match and unit in ("", *_SIZE_UNITS) else example) from None


def parse_time_ns(value: Any) -> int:
    """Nanoseconds of "10 ms" or of a plain number of nanoseconds, zero allowed; ValueError otherwise."""
    return _parse(value, _TIME_UNITS, "10 ms", least=0)


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
Probability = Annotated[float, BeforeValidator(parse_probability)]
