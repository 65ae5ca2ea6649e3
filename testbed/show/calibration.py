"""A calibration as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from testbed.calibrate.results import Calibration
from testbed.show.console import table_console
from testbed.units import format_rate


def print_table(results: Sequence[Calibration]) -> None:
    """Print what was asked and what was measured, a line for each direction of each link, and the round trips."""
    console = table_console()
    console.print(_table(results))
    for link, (asked, measured) in round_trips(results).items():
        console.print(f"{link}: round trip of {asked:.1f} ms asked, {measured:.2f} ms measured")


def _table(results: Sequence[Calibration]) -> Table:
    made = Table(title="Links: asked and measured", title_justify="left")
    for name in ("link", "direction", "by"):
        made.add_column(name, no_wrap=True)
    for name in ("rate", "delay ms", "p99 ms", "loss", "queue B"):
        made.add_column(name, justify="right")
    made.add_column("")
    for result in results:
        made.add_row(result.link, result.direction, result.kind, *_cells(result), result.problem or "as asked")
    return made


def round_trips(results: Sequence[Calibration]) -> dict[str, tuple[float, float]]:
    """By link the asked and the measured mean round-trip time in ms."""
    totals: dict[str, tuple[float, float]] = {}
    for result in results:
        if result.delivery:
            asked, measured = totals.get(result.link, (0.0, 0.0))
            totals[result.link] = asked + result.delivery.asked_ms, measured + result.delivery.mean_ms
    return totals


def _cells(result: Calibration) -> list[str]:
    cells = [f"{format_rate(result.asked_bps)}: {result.measured_bps / 1e6:.2f}" if result.asked_bps else "none"]
    delivery, depth = result.delivery, result.depth
    if delivery:
        cells.append(f"{delivery.asked_ms:.1f}: {delivery.mean_ms:.2f} ± {delivery.sd_ms:.2f}")
        cells.append(f"{delivery.p99_ms:.2f}")
        cells.append(f"{delivery.asked_loss:.2%}: {delivery.lost / delivery.sent:.2%} of {delivery.sent}")
    else:
        cells += ["", "", ""]
    found = "not filled" if depth is None or depth.measured_bytes is None else depth.measured_bytes
    cells.append(f"{depth.asked_bytes}: {found}" if depth else "none")
    return cells
