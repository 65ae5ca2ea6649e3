"""Quantities as people write them ("50 Mbit/s", "100 kB", "10 ms", "1 %"), as numbers in base units.

What a person writes has its unit: 5 may be meant in milliseconds and be taken as nanoseconds. Only 0 needs none. The
lab's own numbers, in Python, are in the base unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic.fields import FieldInfo

MOST_BPS = 10**12
MOST_BYTES = 10**11
MOST_NS = 24 * 3600 * 10**9
MOST_DELAY_NS = 60 * 10**9
MOST_QUEUE_BYTES, MOST_QUEUE_PACKETS, MOST_QUEUE_BDP = 10**9, 10**6, 1000
"""What may be asked for at the most: beyond what any link has or a run could last; a slip of the hand stops here."""

WRITTEN: Final = "written"
"""In the context of a validation: true when a person wrote the data, a file of YAML for example (see `validate`)."""

_RATE_UNITS = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "KiB": 2**10, "MiB": 2**20}
_TIME_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?)\s*(\S*)")


@dataclass(frozen=True, eq=False)
class Quantity:
    """A kind of quantity: its units in terms of the base unit, how one is written, and what may be asked for."""

    units: Mapping[str, int]
    example: str
    most: int
    least: int = 1

    def parse(self, value: Any, *, written: bool = True) -> int:
        """Return `value` in the base unit. A bare number is refused, but for 0, and one of Python's if not `written`.

        ValueError (for pydantic) that shows how to write it.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f'must look like "{self.example}"')
        match = _QUANTITY.fullmatch(str(value).strip())
        unit = match.group(2) if match else "?"
        if match is None or (unit and unit not in self.units):
            raise ValueError(f'must look like "{self.example}"; units are {", ".join(self.units)}')
        exact = float(match.group(1)) * self.units.get(unit, 1)
        own = isinstance(value, int) and not written
        if exact > 0 and not unit and not own:
            units = ", ".join(self.units)
            raise ValueError(f'needs a unit, e.g. "{self.example}" (got {value!s:.40}); units are {units}')
        if exact > self.most:
            raise ValueError(f"must be at most {self.write(self.most)}")
        amount = round(exact)
        if amount < self.least:
            raise ValueError(f'must {"be positive" if self.least else "not be negative"}, e.g. "{self.example}"')
        return amount

    def write(self, amount: int) -> str:
        """Return `amount` of the base unit as `parse` reads it, exactly, in the largest unit of which it has one."""
        fitting = [(factor, unit) for unit, factor in _decimal(self.units).items() if amount >= factor]
        factor, unit = max(fitting, default=(1, next(iter(self.units))))
        return f"{(Decimal(amount) / factor).normalize():f} {unit}"

    def validator(self, value: Any, info: ValidationInfo) -> int:
        """As pydantic calls it."""
        return self.parse(value, written=bool((info.context or {}).get(WRITTEN)))


def _decimal(units: Mapping[str, int]) -> dict[str, int]:
    return {unit: factor for unit, factor in units.items() if "i" not in unit.removesuffix("bit/s")}


RATE = Quantity(_RATE_UNITS, "50 Mbit/s", MOST_BPS)
SIZE = Quantity(_SIZE_UNITS, "100 kB", MOST_BYTES)
TIME = Quantity(_TIME_UNITS, "10 ms", MOST_NS, least=0)
DELAY = Quantity(_TIME_UNITS, "10 ms", MOST_DELAY_NS, least=0)
_QUEUE_BYTES = Quantity(_SIZE_UNITS, "100 kB", MOST_QUEUE_BYTES)


def quantity_of(field: FieldInfo) -> Quantity | None:
    """Return what a model's field is a quantity of; None for one without a unit."""
    return next((one for one in field.metadata if isinstance(one, Quantity)), None)


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
        return _QUEUE_BYTES.parse(value), "bytes"
    except ValueError as error:
        if match and not unit:
            raise ValueError(f'needs a unit, e.g. "100 kB", "60 packets" or "1.5 bdp" (got {value!s:.40})') from None
        raise ValueError(f"{example}: {error}" if unit in _SIZE_UNITS else example) from None


def parse_probability(value: Any, *, written: bool = True) -> float:
    """The probability of "1 %" or of a number from 0 to 1; ValueError otherwise.

    A `written` 1 is refused: it may have been meant in percent.
    """
    text = str(value).strip()
    if written and text == "1":
        raise ValueError('1 could be "1 %" or "100 %": write one of them')
    percent = text.endswith("%")
    try:
        probability = float(text.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        probability = -1.0
    if isinstance(value, bool) or not 0 <= probability <= 1:
        raise ValueError('must be a probability, e.g. "1 %" or 0.01')
    return probability


def _probability(value: Any, info: ValidationInfo) -> float:
    return parse_probability(value, written=isinstance(value, str) or bool((info.context or {}).get(WRITTEN)))


def _octets(value: Any) -> Any:
    return SIZE.parse(value) if isinstance(value, str) and not value.strip().isdigit() else value


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
    return format_exact(size_bytes, _decimal(_SIZE_UNITS))


RateBps = Annotated[int, BeforeValidator(RATE.validator), RATE]
SizeBytes = Annotated[int, BeforeValidator(SIZE.validator), SIZE]
TimeNs = Annotated[int, BeforeValidator(TIME.validator), TIME]
DelayNs = Annotated[int, BeforeValidator(DELAY.validator), DELAY]
Octets = Annotated[int, BeforeValidator(_octets), Field(ge=1, le=MOST_BYTES)]
"""What protocols define in bytes, an MTU or an MSS: a bare number is right."""
Probability = Annotated[float, BeforeValidator(_probability)]
