"""Where a program's processor time goes, by layer, from the samples of `perf script`.

A sample is a process and a function that ran. Functions of the compiled core belong to the layer of their module; what
else there is, Python's interpreter, its collector, copies, the kernel, is told apart by library and name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePath
from typing import Final

from rich.table import Table

from analysis import tables

FIELDS: Final = "pid,ip,sym,dso"
"""What `perf script -F` is asked for."""
_SAMPLE: Final = re.compile(r"\s*(\d+)\s+[0-9a-f]+\s+(.+?)\s+\((.+)\)\s*")
_COMPILED: Final = re.compile(r"(?:CPyDef|CPyPy|CPyStatic)_(.+?)(?:\.\w+)*$")
_KERNEL: Final = "[kernel.kallsyms]"
_KERNEL_COPIES: Final = re.compile(r"copy_(from|to|user)|rep_movs|_copy_|copyin|copyout|csum_and_copy|copy_page")
_COPIES: Final = re.compile(r"_*mem(cpy|move|cmp|chr|set)")
_COLLECTOR: Final = re.compile(
    r"gc_|_gc|visit_|subtract_refs|deduce_unreachable|move_unreachable|update_refs|untrack|\w+_traverse|delete_garbage"
)
RUN_TIME: Final = "run time of compiled code"
INTERPRETER: Final = "Python's interpreter and objects"
COLLECTOR: Final = "Python's collector"
KERNEL, KERNEL_COPIES = "kernel", "kernel: copies"
COPIES: Final = "copies, comparisons"
OTHERS: Final = "other libraries"


class Layers:
    """Which layer a function is of: for that, the files of the compiled modules (`tcp/sender.py`)."""

    def __init__(self, files: Iterable[str]) -> None:
        self._layers: dict[str, str] = {}
        for file in files:
            *folders, name = PurePath(file).with_suffix("").parts
            names = folders if name == "__init__" else [*folders, name]
            # A module goes by the shortest end of its name that no other has; any longer one is right as well.
            for first in range(len(names)):
                self._layers.setdefault("___".join(names[first:]), names[0])

    def of(self, symbol: str, library: str) -> str:
        """Return the name of the layer."""
        if library == _KERNEL or library.startswith("["):
            return KERNEL_COPIES if _KERNEL_COPIES.search(symbol) else KERNEL
        if "__mypyc" in library:
            return self._of_module(symbol) or RUN_TIME
        if _COPIES.match(symbol):
            return COPIES
        if "python" in PurePath(library).name:
            return COLLECTOR if _COLLECTOR.match(symbol) else INTERPRETER
        return OTHERS

    def _of_module(self, symbol: str) -> str | None:
        found = _COMPILED.match(symbol)
        names = found[1].split("___") if found else []
        for end in range(len(names), 0, -1):
            if layer := self._layers.get("___".join(names[:end])):
                return layer
        return None


def samples(lines: Iterable[str]) -> Counter[tuple[int, str, str]]:
    """Return how often each process, function and library was seen; what is no sample is left out."""
    found = (_SAMPLE.fullmatch(line.rstrip("\n")) for line in lines)
    return Counter((int(one[1]), one[2], one[3]) for one in found if one)


def by_layer(
    seen: Mapping[tuple[int, str, str], int], programs: Mapping[int, str], layers: Layers
) -> dict[str, Counter[str]]:
    """Return, for each of the programs (by process), how many samples each layer has."""
    of = cache(layers.of)
    found: dict[str, Counter[str]] = {name: Counter() for name in programs.values()}
    for (process, symbol, library), count in seen.items():
        if process in programs:
            found[programs[process]][of(symbol, library)] += count
    return found


def table(title: str, found: Mapping[str, Counter[str]], sample_us: float, units: float, unit: str) -> Table:
    """Return microseconds a unit and shares, by layer and program, the largest first.

    A sample stands for `sample_us` of processor time; `units` of `unit` were made meanwhile.
    """
    headings = [heading for program in found for heading in (f"{program}, us", "%")]
    result = tables.table(title, ["layer", *headings], ("layer",), caption=f"microseconds of processor time a {unit}")
    totals = {program: counts.total() for program, counts in found.items()}
    both = sum(found.values(), Counter())
    for layer, _ in both.most_common():
        cells = []
        for program, counts in found.items():
            cells += [f"{counts[layer] * sample_us / units:.2f}", f"{counts[layer] / (totals[program] or 1):.0%}"]
        result.add_row(layer, *cells)
    result.add_row("all", *(cell for total in totals.values() for cell in (f"{total * sample_us / units:.2f}", "100%")))
    return result
