"""Throughput of one bulk transfer, ours beside the kernel's, for each kind of packet on the wire."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import ratio_to, summarise
from analysis.style import INK, look

METRICS = ("throughput_bps",)

REFERENCE = "kernel-mptcp"
GENERATORS = {"loadgen": "asyncio", "iperf3": "iperf3"}
"""What moves the bytes: our program, the same for every stack, or iperf3."""
WIRES = {"super-segments": "64 KB", "mtu": "1500 B"}
"""What crosses the links: the factor's values, and the size of the packets."""

_GROUP_WIDTH = 0.75


def summary(run: Run) -> pd.DataFrame:
    """Return n, mean and spread in Gbit/s by wire, stack and generator, and ratios to the kernel's."""
    points = run.passed.assign(gbit_per_s=run.passed["throughput_bps"] / 1e9)
    rates = summarise(points, ["wire", "stack", "generator"], "gbit_per_s")
    for generator in GENERATORS:
        reference = (rates["stack"] == REFERENCE) & (rates["generator"] == generator)
        rates[f"over_{generator}"] = ratio_to(rates, reference, ["wire"])
    return rates


def draw(run: Run) -> Figure:
    """Return the figure: a bar a stack and generator, a dot a repetition, the ratio to the kernel above."""
    rates = summary(run)
    figure, (axes,) = panels.column(1, 2.6)
    kinds = list(dict.fromkeys(zip(rates["stack"], rates["generator"], strict=True)))
    width = _GROUP_WIDTH / len(kinds)
    for number, (stack, generator) in enumerate(kinds):
        style = look(stack)
        bars = rates[(rates["stack"] == stack) & (rates["generator"] == generator)]
        places = [list(WIRES).index(wire) + panels.shift(number, len(kinds), width) for wire in bars["wire"]]
        filled = generator == "loadgen"
        panels.bars(
            axes, places, bars["mean"], height=width, upright=True, label=f"{style.label}, {GENERATORS[generator]}",
            facecolor=style.color if filled else "white", edgecolor=style.color,
            hatch="" if filled else "////", alpha=0.85,
        )  # fmt: skip
        for place, bar in zip(places, bars.itertuples(), strict=True):
            _annotate(axes, run, place, bar)
    axes.set_xticks(range(len(WIRES)), list(WIRES.values()))
    axes.set_xlabel("packets on the wire, up to")
    axes.margins(y=0.14)
    axes.set_ylabel("throughput (Gbit/s)")
    axes.set_title(_caption(run, rates), fontsize=6.5, color="#444444")
    panels.legend(figure)
    return figure


def _annotate(axes: Axes, run: Run, place: float, bar: Any) -> None:
    """Put a dot for every repetition on the bar, and its mean and ratio above."""
    points = run.passed
    same = (points["wire"] == bar.wire) & (points["stack"] == bar.stack) & (points["generator"] == bar.generator)
    values = points[same]["throughput_bps"] / 1e9
    axes.plot([place] * len(values), values, ".", color=INK, markersize=3)
    text = f"{bar.mean:.1f}"
    if bar.stack != REFERENCE and pd.notna(bar.over_loadgen):
        text += f"\n({bar.over_loadgen:.2f} x)"
    axes.annotate(text, (place, max(bar.max, bar.mean)), (0, 3), textcoords="offset points", ha="center", fontsize=6.5)


def _caption(run: Run, rates: pd.DataFrame) -> str:
    parameters = run.parameters
    return (
        f"{networks.link_count(run, parameters['paths'])} veth links, {parameters['seconds']:g} s;"
        f" bars: mean, dots: n = {int(rates['n'].min())}; (x): of the kernel's"
    )


def table(run: Run) -> Table:
    """Return Gbit/s by wire, stack and generator, with the ratios to kernel MPTCP by either."""
    rates = summary(run).set_index(["wire", "stack", "generator"])
    words = "wire", "stack", "by"
    result = tables.table(run.manifest["title"], [*words, "Gbit/s", "x kernel", "x iperf3", "n"], words)
    keys = run.points[["wire", "stack", "generator"]].drop_duplicates().itertuples(index=False, name=None)
    for key in sorted(keys, key=lambda key: list(WIRES).index(key[0])):
        result.add_row(WIRES[key[0]], look(key[1]).label, GENERATORS[key[2]], *_numbers(run, rates, key))
    return result


def _numbers(run: Run, rates: pd.DataFrame, key: tuple[str, str, str]) -> list[str]:
    if key not in rates.index:
        wire, stack, generator = key
        points = run.points
        same = (points["wire"] == wire) & (points["stack"] == stack) & (points["generator"] == generator)
        return [", ".join(points[same]["outcome"].unique()), "", "", ""]
    row = rates.loc[key]
    ratios = [f"{ratio:.2f}" if pd.notna(ratio) else "" for ratio in (row["over_loadgen"], row["over_iperf3"])]
    return [tables.number(row["mean"], row["sd"], row["n"]), *ratios, f"{row['n']:.0f}"]
