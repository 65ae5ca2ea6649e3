"""A transfer whose addresses go and come: what each path carried over time, and the options on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from rich.table import Table

from analysis import panels, tables
from analysis.collected import Collected
from analysis.collected import load as load_collected
from analysis.load import Run
from analysis.metrics import summarise
from analysis.style import look

PATHS = {"client-eth1": ("first path", "#56b4e9"), "client-eth2": ("second path", "#e69f00")}
MOMENTS = {
    "second_goes": ("client-eth2", False, "2nd gone"),
    "second_returns": ("client-eth2", True, "2nd back"),
    "first_goes": ("client-eth1", False, "1st gone"),
    "first_returns": ("client-eth1", True, "1st back"),
}
"""By name of the change: whose address, whether it is there afterwards, and how it is called here."""

METRICS = ("longest_gap_s", *(f"rates_bps_{name}_{path}" for name in MOMENTS for path in range(1, len(PATHS) + 1)))

OPTIONS = {
    "REMOVE_ADDR": ("v", "#000000", 1.12),
    "ADD_ADDR": ("^", "#009e73", 1.12),
    "MP_JOIN": ("D", "#d55e00", 1.32),
}
"""Marker, colour and height, in times of the full rate."""

DELAYS = ("remove_ms", "announce_ms", "echo_ms", "join_ms", "data_ms")
_BIN_S = 0.2


def rates(directory: Path) -> pd.DataFrame:
    """Return what the client received, in Mbit/s by `time_s` (the middle of each step) and interface."""
    counts = load_collected(directory, "interfaces")
    counts = counts[(counts["host"] == "client") & counts["interface"].isin(PATHS)]
    series = counts.pivot_table(index="time_s", columns="interface", values="rx_bytes").ffill()
    binned = series.groupby(((series.index // _BIN_S) + 0.5) * _BIN_S).last()
    return binned.diff().dropna() * 8e-6 / _BIN_S


def signals(directory: Path) -> pd.DataFrame:
    """Return the options that the client's interfaces saw: `time_s`, `interface`, `from_client`, `option`.

    Of MP_JOIN that is the SYN alone; `data` are segments of the download that carry payload.
    """
    packets = load_collected(directory, "pcap")
    packets = packets[packets["host"] == "client"]
    from_client = packets["destination"].str.endswith(":5001")
    packets = packets.assign(from_client=from_client, option=packets["mptcp"].str.split())
    options = packets.explode("option")
    wanted = options["option"].isin(["REMOVE_ADDR", "ADD_ADDR"]) | (
        (options["option"] == "MP_JOIN") & (options["flags"] == "S")
    )
    data = packets[~from_client & (packets["payload_bytes"] > 0)].assign(option="data")
    columns = ["time_s", "interface", "from_client", "option"]
    return pd.concat([options[wanted], data])[columns].sort_values("time_s", ignore_index=True)


def moments(run: Run, row: Any) -> dict[str, float]:
    """Return when each change of a point began, in seconds on the clock of its collectors."""
    clock = Collected.open(run.point_directory(row), "pcap")
    return {name: clock.seconds(int(getattr(row, f"moments_ns_{name}"))) for name in MOMENTS}


def delays(run: Run) -> pd.DataFrame:
    """Return one row a point and change: how many ms later each option, and data on the path, was on the wire.

    `remove` and `announce` come from the host that moves, `echo` from the other; empty when there was none until the
    next change.
    """
    rows = []
    for row in run.passed.itertuples():
        seen, times = signals(run.point_directory(row)), moments(run, row)
        bounds = [*times.values(), float("inf")]
        for number, (name, begin_s) in enumerate(times.items()):
            within = seen[(seen["time_s"] >= begin_s) & (seen["time_s"] < bounds[number + 1])]
            point = {"stack": row.stack, "moves": row.moves, "change": name, "repetition": row.repetition}
            rows.append(point | _first(within, begin_s, str(row.moves), name) | {"gap_s": row.longest_gap_s})
    return pd.DataFrame(rows)


def _first(within: pd.DataFrame, begin_s: float, moves: str, name: str) -> dict[str, float]:
    interface, there, _ = MOMENTS[name]
    by_mover = within["from_client"] == (moves == "client")
    masks = {
        "remove_ms": by_mover & (within["option"] == "REMOVE_ADDR"),
        "announce_ms": by_mover & (within["option"] == "ADD_ADDR"),
        "echo_ms": ~by_mover & (within["option"] == "ADD_ADDR"),
        "join_ms": within["option"] == "MP_JOIN",
        "data_ms": (within["option"] == "data") & (within["interface"] == interface) & there,
    }
    return {what: (within.loc[mask, "time_s"].min() - begin_s) * 1000 for what, mask in masks.items()}


def draw(run: Run) -> Figure:
    """Return the figure: a panel a stack and end, the first repetition of each."""
    rows = list(run.passed.drop_duplicates(["stack", "moves"]).itertuples())
    figure, of_points = panels.column(len(rows), 0.8 + 1.15 * len(rows), sharey=True)
    for axes, row in zip(of_points, rows, strict=True):
        _draw_point(axes, run, row, [what for _, _, what in MOMENTS.values()] if axes is of_points[0] else [])
    of_points[-1].set_xlim(-0.3, (len(MOMENTS) + 1) * run.parameters["step_s"])
    of_points[-1].set_xlabel(f"time since the transfer began (s); steps of {_BIN_S:g} s")
    handles: list[Any] = [Patch(color=color, label=name) for name, color in PATHS.values()]
    handles += [
        Line2D([], [], linestyle="", marker=marker, color=color, markersize=3.5, label=name)
        for name, (marker, color, _) in OPTIONS.items()
    ]
    panels.legend(figure, handles, 3, handlelength=1.2)
    return figure


def _draw_point(axes: Axes, run: Run, row: Any, words: Sequence[str]) -> None:
    directory, changes = run.point_directory(row), moments(run, row)
    zero_s = next(iter(changes.values())) - run.parameters["step_s"]
    carried, seen = rates(directory), signals(directory)
    bands = [carried[interface] for interface in PATHS]
    axes.stackplot(carried.index - zero_s, *bands, colors=[color for _, color in PATHS.values()], linewidth=0,
                   step="mid")  # fmt: skip
    top = 2 * run.parameters["rate"] / 1e6
    for name, (marker, color, height) in OPTIONS.items():
        times = seen.loc[seen["option"] == name, "time_s"] - zero_s
        axes.plot(times, [top * height] * len(times), marker, color=color, markersize=3.5)
    panels.moments(axes, [when_s - zero_s for when_s in changes.values()], words)
    axes.set_ylim(0, top * 1.45)
    axes.set_ylabel("received (Mbit/s)", fontsize=7)
    axes.set_title(f"{look(row.stack).label}, the {row.moves}'s addresses", fontsize=7)
    axes.grid(visible=False, axis="x")


def table(run: Run) -> Table:
    """Return when each option was on the wire after each change, and the longest time without new data."""
    result = tables.table(
        run.manifest["title"],
        ("stack", "whose", "address", "REMOVE", "ADD", "echo", "JOIN", "data", "gap, s", "n"),
        ("stack", "whose", "address"),
        "REMOVE_ADDR, ADD_ADDR and its echo, MP_JOIN, first data on the path: ms after the change, on the"
        " client's interfaces; gap: longest time without data for the application",
    )
    found, by = delays(run), ["stack", "moves", "change"]
    for (stack, moves, change), group in found.groupby(by, sort=False):
        cells = [_cell(group, what, ".0f") for what in DELAYS]
        result.add_row(
            look(str(stack)).label, str(moves), MOMENTS[str(change)][2], *cells, _cell(group, "gap_s", ".1f"),
            str(len(group)),
        )  # fmt: skip
    return result


def _cell(group: pd.DataFrame, what: str, form: str) -> str:
    """Return mean, and spread when there is one, of a column; empty without a value."""
    summary = summarise(group, ["stack"], what)
    if summary.empty:
        return ""
    (row,) = summary.itertuples()
    return tables.number(row.mean, row.sd, row.n, form)
