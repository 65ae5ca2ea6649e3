"""What a call noticed of a handover: the delay of every frame, and which path carried the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.table import Table

from analysis import distributions, panels, tables
from analysis.collected import Collected
from analysis.collected import load as load_collected
from analysis.emodel import PLAYOUT_MS, score
from analysis.files import open_regular
from analysis.load import Run
from analysis.style import INK, look

METRICS = ("interruption_ms", "throughput_bps", "requests_per_s")

FACTORS = ("proxy",)

WIFI, MOBILE = "client-eth1", "client-eth2"
_PATHS = {WIFI: ("WiFi", "#56b4e9"), MOBILE: ("3G", "#e69f00")}
_MOMENTS = {"degrade_at": "worse", "down_at": "gone", "up_at": "back"}
"""What happens to WiFi when, by parameter of the experiment."""
_BIN_S = 0.5
_MODES = (
    "full: both paths at once; backup: 3G when WiFi is gone;\n"
    "single-path: one path at a time; the first repetition of each"
)
_TOO_LATE: Final[Mapping[str, Any]] = {"color": "#999999", "linewidth": 0.8, "linestyle": ":"}


def calls(run: Run) -> pd.DataFrame:
    """Return the passed points that are calls of the first codec, the first repetition of each.

    Of the ways to use the proxy it is the one of all modes.
    """
    passed = run.passed[run.passed["load"].str.startswith("call-") & (run.passed["proxy"] == "forward")]
    first = passed[passed["load"] == passed["load"].iloc[0]] if not passed.empty else passed
    return first.drop_duplicates(["stack", "mode"])


def delays(run: Run, row: Any, direction: str = "download") -> pd.DataFrame:
    """Return one row a frame of a call: `time_s` since the links began to change, `delay_ms`."""
    with open_regular(run.point_directory(row) / f"frames-{direction}.csv") as file:
        frames = pd.read_csv(file)
    return pd.DataFrame(
        {
            "time_s": (frames["due_ns"] - int(row.began_ns)) / 1e9,
            "delay_ms": (frames["received_ns"] - frames["due_ns"]) / 1e6,
        }
    )


def rates(run: Run, row: Any) -> pd.DataFrame:
    """Return what the client's paths carried, both ways, in kbit/s by interface.

    The index is `time_s`, the beginning of each step, on the clock of `delays`.
    """
    directory = run.point_directory(row)
    counts = load_collected(directory, "interfaces")
    # Collectors count from the load's beginning, when its server starts; the links begin to change once it listens.
    counts["time_s"] -= Collected.open(directory, "interfaces").seconds(int(row.began_ns))
    counts = counts[(counts["host"] == "client") & counts["interface"].isin(_PATHS)]
    total = counts.assign(total=counts["rx_bytes"] + counts["tx_bytes"])
    series = total.pivot_table(index="time_s", columns="interface", values="total").ffill()
    binned = series.groupby((series.index // _BIN_S) * _BIN_S).last()
    return binned.diff().dropna() * 8 / _BIN_S / 1000


def draw(run: Run) -> Figure:
    """Return the figure: a panel a stack and mode, delays over time above the paths in use."""
    rows = list(calls(run).itertuples())
    figure, of_calls = panels.column(len(rows), 0.7 + 1.15 * len(rows))
    for axes, row in zip(of_calls, rows, strict=True):
        _draw_call(axes, run, row)
        words = _MOMENTS.values() if axes is of_calls[0] else ()
        panels.moments(axes, [run.parameters[name] / 1e9 for name in _MOMENTS], words)
    of_calls[-1].set_xlabel("time since the links' schedules began (s)")
    handles = [Line2D([], [], marker=".", linestyle="", color=INK, label="a frame")]
    handles += [Line2D([], [], color=color, linewidth=3, label=f"bytes over {name}") for name, color in _PATHS.values()]
    handles.append(Line2D([], [], **_TOO_LATE, label=f"too late to play ({PLAYOUT_MS:g} ms)"))
    panels.legend(figure, handles, handlelength=1.4)
    panels.foot(figure, _MODES)
    return figure


def draw_latencies(run: Run) -> Figure | None:
    """Return the distributions of the frames' delays: a panel a codec and mode, a curve a stack; both directions."""
    found = distributions.latencies(run)
    if found.empty:
        return None
    calls = found[found["load"].str.startswith("call-") & (found["proxy"] == "forward")]
    return distributions.draw(
        run,
        panels=["load", "mode"],
        title=lambda key: f"{key['load'].removeprefix('call-')}, {key['mode']}",
        found=calls,
    )


def _draw_call(axes: Axes, run: Run, row: Any) -> None:
    frames = delays(run, row)
    axes.plot(frames["time_s"], frames["delay_ms"], ".", markersize=1.2, color=INK, rasterized=True)
    axes.set_yscale("log")
    axes.set_ylim(6, 20_000)
    axes.set_yticks([10, 100, 1000], ["10", "100", "1000"])
    axes.minorticks_off()
    axes.axhline(PLAYOUT_MS, **_TOO_LATE)
    shares = rates(run, row)
    shares = shares.div(shares.sum(axis=1), axis=0).fillna(0.0)
    # The band above the delays: its height is shared as the bytes are.
    low, high = 4_000, 18_000
    for interface, (_, color) in _PATHS.items():
        top = low * (high / low) ** shares[interface].clip(0, 1)
        band = (top, low) if interface == MOBILE else (high, high * low / top)
        axes.fill_between(shares.index, *band, step="post", color=color, linewidth=0)
    axes.set_title(f"{look(row.stack).label}, {row.mode}", fontsize=7)
    axes.set_ylabel("delay (ms)")
    axes.grid(visible=False, axis="x")


def table(run: Run) -> Table:
    """Return delays, late frames, interruption and score of calls, and what the other loads got."""
    result = tables.table(
        run.manifest["title"], ("stack", "load", "mode", "p50", "p99", "late", "gap", "MOS", "got"),
        ("stack", "load", "mode"),
        f"delay, and longest time without a frame (gap), in ms; late: over {PLAYOUT_MS:.0f} ms; MOS: E-model;"
        " transparent, convert: full, by another way of the proxy",
    )  # fmt: skip
    for row in run.passed.itertuples():
        cells = _call_cells(run, row) if str(row.load).startswith("call-") else ["", "", "", "", "", _got(row)]
        mode = row.mode if row.proxy == "forward" else row.proxy
        result.add_row(look(row.stack).label, str(row.load), mode, *cells)
    return result


def _call_cells(run: Run, row: Any) -> list[str]:
    both = {direction: delays(run, row, direction)["delay_ms"] for direction in ("upload", "download")}
    together = pd.concat(both.values())
    codec = str(row.load).removeprefix("call-")
    scores = [found for one in both.values() if (found := score(one, codec)) is not None]
    return [
        f"{together.median():.0f}",
        f"{together.quantile(0.99):.0f}",
        f"{(together > PLAYOUT_MS).mean():.1%}",
        f"{row.interruption_ms:.0f}",
        f"{min(scores):.2f}" if scores else "",
        "all",
    ]


def _got(row: Any) -> str:
    if row.load == "bulk":
        return f"{row.throughput_bps / 1e6:.1f} Mbit/s"
    return f"{row.succeeded:.0f} of {row.requests:.0f}"
