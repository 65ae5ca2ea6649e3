"""What an MPTCP connection and a TCP connection got of the bottleneck that they shared, with Jain's index."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from analysis import networks
from analysis.load import Run
from analysis.metrics import bars, counted, summarise
from analysis.style import COLUMN_WIDTH_IN, look

METRICS = ("mptcp_bps", "tcp_bps", "jain_index")
"""What it shows of the results, by name (see analysis.compare)."""

PAYLOAD_SHARE = 1448 / 1514
"""Of a full packet with timestamps, on the wire."""

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
    figure = Figure(figsize=(COLUMN_WIDTH_IN, 1.0 + 0.35 * len(rates)))
    axes = figure.subplots()
    for shift, name, label, color in ((-0.5, "mptcp", "two subflows", "#0072b2"), (0.5, "tcp", "one TCP", "#999999")):
        places = [place + shift * _HEIGHT for place in range(len(rates))]
        axes.barh(places, rates[name], _HEIGHT * 0.9, color=color, label=label,
                  xerr=bars(pd.DataFrame({"sd": rates[f"{name}_sd"], "n": rates["n"]})),
                  error_kw={"elinewidth": 0.8, "capsize": 1.5, "capthick": 0.8})  # fmt: skip
    for place, row in enumerate(rates.itertuples()):
        spread = f" ± {row.sd:.2f}" if row.n > 1 else ""
        axes.text(
            1.02, place, f"{row.mean:.2f}{spread}", va="center", fontsize=6.5, transform=axes.get_yaxis_transform()
        )
    axes.text(1.02, -0.75, "Jain's index", fontsize=6.5, transform=axes.get_yaxis_transform())
    bottleneck_bps = networks.slowest_bps(run, run.parameters["rate"])
    axes.axvline(
        bottleneck_bps * PAYLOAD_SHARE / 2e6, color="#222222", linewidth=0.8, linestyle=":", label="an equal share"
    )
    axes.set_yticks(range(len(rates)), [look(stack).label for stack in rates["stack"]])
    axes.set_ylim(len(rates) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"goodput at the bottleneck (Mbit/s); {counted(rates)}")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


def table(run: Run) -> Table:
    """Return the rates of both connections and Jain's index by stack."""
    result = Table(title=run.manifest["title"], box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("stack", "MPTCP, Mbit/s", "TCP, Mbit/s", "Jain's index", "n"):
        result.add_column(heading, justify="left" if heading == "stack" else "right", no_wrap=True)
    for row in summary(run).itertuples():
        spread = f" ± {row.sd:.3f}" if row.n > 1 else ""
        result.add_row(
            look(row.stack).label, _rate(row.mptcp, row.mptcp_sd, row.n), _rate(row.tcp, row.tcp_sd, row.n),
            f"{row.mean:.3f}{spread}", f"{row.n}",
        )  # fmt: skip
    return result


def _rate(mean: float, sd: float, n: int) -> str:
    return f"{mean:.2f}" + (f" ± {sd:.2f}" if n > 1 else "")
