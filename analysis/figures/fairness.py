"""What an MPTCP connection and a TCP connection got of the bottleneck that they shared, with Jain's index."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from analysis import networks, panels, tables
from analysis.load import Run
from analysis.metrics import counted, spread, summarise
from analysis.style import INK, look

METRICS = ("mptcp_bps", "tcp_bps", "jain_index")

PAYLOAD_SHARE = 1448 / 1514
"""Of a full packet with timestamps, on the wire."""

_CONNECTIONS = {"mptcp": ("two subflows", "#0072b2"), "tcp": ("one TCP", "#999999")}
_HEIGHT = 0.36


def summary(run: Run) -> pd.DataFrame:
    """Return mean Mbit/s of both connections, and mean and spread of Jain's index, by stack."""
    points = run.passed.assign(mptcp=run.passed["mptcp_bps"] / 1e6, tcp=run.passed["tcp_bps"] / 1e6)
    rates = summarise(points, ["stack"], "jain_index")
    for name in ("mptcp", "tcp"):
        means = summarise(points, ["stack"], name).set_index("stack")
        rates[name], rates[f"{name}_sd"] = rates["stack"].map(means["mean"]), rates["stack"].map(means["sd"])
    return rates


def draw(run: Run) -> Figure:
    """Return the figure: two bars a stack, and the index at the right of the axes."""
    rates = summary(run)
    figure, (axes,) = panels.column(1, 1.0 + 0.35 * len(rates))
    for number, (name, (label, color)) in enumerate(_CONNECTIONS.items()):
        places = [place + panels.shift(number, len(_CONNECTIONS), _HEIGHT) for place in range(len(rates))]
        panels.bars(axes, places, rates[name], spread(rates, of=f"{name}_sd"), _HEIGHT, color=color, label=label)
    beside: dict[str, Any] = {"fontsize": 6.5, "transform": axes.get_yaxis_transform()}
    for place, row in enumerate(rates.itertuples()):
        axes.text(1.02, place, tables.number(row.mean, row.sd, row.n), va="center", **beside)
    axes.text(1.02, -0.75, "Jain's index", **beside)
    share = networks.slowest_bps(run, run.parameters["rate"]) * PAYLOAD_SHARE / 2e6
    axes.axvline(share, color=INK, linewidth=0.8, linestyle=":", label="an equal share")
    panels.rows(axes, [look(stack).label for stack in rates["stack"]], 7)
    axes.set_xlabel(f"goodput at the bottleneck (Mbit/s); {counted(rates)}")
    panels.legend(figure, columns=3)
    return figure


def table(run: Run) -> Table:
    """Return the rates of both connections and Jain's index by stack."""
    headings = "stack", "MPTCP, Mbit/s", "TCP, Mbit/s", "Jain's index", "n"
    result = tables.table(run.manifest["title"], headings)
    for row in summary(run).itertuples():
        rates = (tables.number(*rate, row.n) for rate in ((row.mptcp, row.mptcp_sd), (row.tcp, row.tcp_sd)))
        result.add_row(look(row.stack).label, *rates, tables.number(row.mean, row.sd, row.n, ".3f"), f"{row.n}")
    return result
