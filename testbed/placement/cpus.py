"""Processors: lists of them as `taskset -c` takes them ("0,2-3"), masks as the kernel's files take them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_WORD_DIGITS = 8
_MOST_CPUS = 8192  # what a kernel can be built for (CONFIG_NR_CPUS)


def parse_cpus(text: str) -> tuple[int, ...]:
    """The numbers of "0,2-3" in order; ValueError (for pydantic) that shows how to write it."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        match = _RANGE.fullmatch(part)
        first, last = (int(number) for number in (match[1], match[2] or match[1])) if match else (1, 0)
        if not first <= last < _MOST_CPUS:
            raise ValueError(f'must be a list of CPUs below {_MOST_CPUS} such as "0" or "0,2-3", not {text[:60]!r}')
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def format_mask(cpus: Iterable[int]) -> str:
    """The hexadecimal mask of CPUs, in words of 32 bits joined by commas as the kernel's bitmaps are written."""
    digits = f"{sum(1 << cpu for cpu in set(cpus)):x}"
    digits = digits.zfill(-(-len(digits) // _WORD_DIGITS) * _WORD_DIGITS)
    words = [digits[start : start + _WORD_DIGITS] for start in range(0, len(digits), _WORD_DIGITS)]
    return ",".join([words[0].lstrip("0") or "0", *words[1:]])


def parse_mask(text: str) -> int:
    """A mask of the kernel's as a number: its leading zeros differ from machine to machine."""
    return int(text.replace(",", ""), 16)


def online_cpus() -> tuple[int, ...]:
    """The processors of this machine that are running."""
    return parse_cpus((_CPUS / "online").read_text())


def governors() -> dict[int, str | None]:
    """What governs the frequency of each running processor; None where nothing does (virtual machines)."""
    return {cpu: _read(_CPUS / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in online_cpus()}


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
