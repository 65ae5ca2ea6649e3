"""The networks that a run was measured on, in the words of its manifest: what figures say of links is what ran."""

from __future__ import annotations

from typing import Any, Final

from analysis.load import Run

_NAMED: Final = 2
"""How many networks a caption names; of more it says how many."""


def caption(run: Run) -> str:
    """What ran, for the foot of a figure or a table; "" for runs that did not record it."""
    texts = [str(one["network"]) for one in _of(run)]
    more = len(texts) - _NAMED
    return "; ".join([*texts[:_NAMED], *([f"and {more} more networks" if more > 1 else texts[-1]] if more > 0 else [])])


def rates_and_delays(run: Run, factor: str, value: Any, otherwise: str) -> str:
    """What the links of the points with a factor's value carry, and how late: "10/4 Mbit/s, 10/100 ms".

    `otherwise` where the run did not record it, or where these points had several networks.
    """
    found = {str(one["rates_and_delays"]) for one in _of(run) if value in one["factors"].get(factor, ())}
    return found.pop() if len(found) == 1 else otherwise


def capacity_bps(run: Run, factor: str, value: Any) -> float:
    """What the links between client and server carry together, of the points with a factor's value.

    0 where the run did not record it, where links have no rate, or where others stand between.
    """
    rates = [one["between_ends_bps"] for one in _of(run) if value in one["factors"].get(factor, ())]
    return float(sum(rates[0])) if len(rates) == 1 and all(rates[0]) else 0.0


def slowest_bps(run: Run, otherwise: float) -> float:
    """The rate of the slowest link with a rate: the bottleneck; `otherwise` where the run did not record it."""
    rates = [one["slowest_bps"] for one in _of(run) if one["slowest_bps"]]
    return float(min(rates, default=otherwise))


def link_count(run: Run, otherwise: int) -> int:
    """How many links each network has; `otherwise` where that is not recorded, or differs."""
    found = {len(one["link_names"]) for one in _of(run)}
    return found.pop() if len(found) == 1 else otherwise


def link_name(run: Run, number: int, otherwise: str, topology: str) -> str:
    """What a link of another network than `topology` is called (from 0); `otherwise` if it was that one."""
    found = {one["link_names"][number] for one in _of(run) if number < len(one["link_names"])}
    replaced = any(not str(one["network"]).startswith(f"{topology}:") for one in _of(run))
    return str(found.pop()) if replaced and len(found) == 1 else otherwise


def _of(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = list(run.manifest.get("networks", ()))
    return found
