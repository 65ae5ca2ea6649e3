"""The figures and tables of the experiments on emulated links, from results made up here."""

import io
from pathlib import Path

import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text
from rich.console import Console

from analysis import figures, notebooks
from analysis.figures.middleboxes import worse_rows
from analysis.figures.receive_algorithms import ALGORITHMS
from analysis.load import load_run
from testbed.experiment import experiment_class, experiment_names
from tests.analysis.test_analysis import write_run

PASSED = {"outcome": "passed", "why": ""}


def rows(*rows: dict) -> list[dict]:
    return [{"repetition": repetition, **PASSED, **row} for row in rows for repetition in (1, 2)]


RUNS = {
    "simultaneous_flows": (
        {"size": 16_000_000},
        rows(
            *(
                {"stack": stack, "case": "10/25:1/50", "direction": direction, "elapsed_s": seconds, "limit_s": 4.51}
                for stack, seconds in (("kernel-mptcp", 4.1), ("python-mptcp", 4.6))
                for direction in ("download", "upload")
            )
        ),
        "10/25 Mbit/s, 1/50 ms  upload     Python MPTCP  4.60 ± 0.00     4.51      no  2",
    ),
    "why_slower": (
        {"buffer": 16_000_000, "scheduler": "ecf", "congestion": "reno"},
        rows(
            *(
                {"stack": stack, "path": path, "change": change, "elapsed_s": seconds}
                for stack, path, change, seconds in (
                    ("kernel-tcp", "wifi", "none", 2.0),
                    ("kernel-tcp", "mobile", "none", 8.0),
                    ("python-mptcp", "all", "none", 2.5),
                    ("python-mptcp", "all", "buffers", 1.25),
                    ("python-mptcp", "all", "core", 5.0),
                )
            )
        ),
        "Python MPTCP  all     buffers of 16 MB           1.25   1.60     2.00  2",
    ),
    "lossy_link": (
        {},
        rows(
            *(
                {"stack": stack, "loss": loss, "throughput_bps": bps, "bound_bps": 7_000_000}
                for loss in (0.0, 0.01)
                for stack, bps in (("kernel-tcp@reno", 6e6), ("python-tcp@reno", 5.7e6), ("python-tcp@cubic", 6e6))
            )
        ),
        "1.0%  Python TCP, reno   5.70 ± 0.00   7.00      0.95          2",
    ),
    "fairness": (
        {"rate": 20_000_000},
        rows(
            {"stack": "python-mptcp@lia", "mptcp_bps": 9e6, "tcp_bps": 10e6, "jain_index": 0.997},
            {"stack": "python-mptcp@reno", "mptcp_bps": 12.6e6, "tcp_bps": 6.3e6, "jain_index": 0.9},
        ),
        "Python MPTCP, reno   12.60 ± 0.00   6.30 ± 0.00  0.900 ± 0.000  2",
    ),
    "flow_affinity": (
        {"seconds": 2, "paths": 2},
        rows(
            *(
                {
                    "stack": "kernel-mptcp",
                    "steering": steering,
                    "throughput_bps": 4e9,
                    "cpu_s_per_gbyte": 2.5,
                    "home_share": share,
                    "home_shares_client-eth1": share,
                    "home_shares_client-eth2": share - 0.02,
                    "programs_client_voluntary_switches": 90,
                    "programs_client_involuntary_switches": 10,
                    "programs_client_migrations": 1,
                }
                for steering, share in (("none", 0.2), ("rps", 0.55), ("rfs", 0.97), ("mptcp-aware", 1.0))
            )
        ),
        "kernel MPTCP  RFS            97±0  4.00±0.00  2.50±0.00       100      1  2",
    ),
    "collector_overhead": (
        {},
        rows(
            *(
                {
                    "stack": stack,
                    "load": load,
                    "collector": collector,
                    "rate": rate,
                    "programs_cpu_s": cpu_s,
                    "collector_cpu_s": None if "none" in collector else 0.1,
                    "duration_s": 2.0,
                }
                for stack in ("kernel-mptcp", "python-mptcp")
                for load in ("http", "bulk")
                for collector, rate, cpu_s in (
                    ("none", 1000, 1.0),
                    ("cpu", 970, 1.06),
                    ("pcap", 900, 1.8),
                    ("none again", 1000, 1.02),
                )
                if (stack, collector) != ("python-mptcp", "pcap")
            )
        ),
        "pcap          kernel MPTCP  bulk       44.5 ± 0.0       10.0 ± 0.0  2",
    ),
    "middleboxes": (
        {},
        [
            {"repetition": 1, **PASSED, "stack": stack, "row": row, "place": place, "verdict": verdict}
            for stack, place, verdicts in (
                ("kernel-tcp", "both", ("fallback", "fallback")),
                ("kernel-mptcp", "second", ("full", "failed")),
                ("python-mptcp", "second", ("full", "fewer")),
                ("python-mptcp+dss_checksum=on", "both", ("full", None)),
            )
            for row, verdict in zip(("none", "nat"), verdicts, strict=True)
        ],
        "nat              T          x             1",
    ),
    "interop": (
        {},
        rows(
            {
                "stack": "python-mptcp",
                "group": "data",
                "family": "v4",
                "impossible": "",
                "cells_version-0_client": "unsupported",
                "cells_checksum_client": "passed",
                "cells_checksum_server": "passed",
            },
            {
                "stack": "python-mptcp",
                "group": "joins",
                "family": "v4+v6",
                "impossible": "",
                "outcome": "failed",
                "why": "mp-join, ours is server: not joined",
                "cells_mp-join_client": "passed",
                "cells_mp-join_server": "failed",
            },
        ),
        "joins                   1 of 1                   0 of 1  mp-join, ours is server: not joined",
    ),
    "dss_checksum": (
        {"paths": 2},
        rows(
            *(
                {"stack": stack + with_, "segments": segments, "steady_bps": bps, "cpu_s_per_gbyte": 3e9 / bps}
                for stack, bps_of in (("kernel-mptcp", 8e9), ("python-mptcp", 4e9))
                for segments, part in (("super-segments", 1.0), ("mss", 0.1))
                for with_, bps in (("", part * bps_of), ("+dss_checksum=on", 0.8 * part * bps_of))
            )
        ),
        "1 MSS     Python MPTCP    0.40  0.32  0.80±0.00  7.50  9.37  1.25±0.00  2",
    ),
    "receive_algorithms": (
        {},
        rows(
            *(
                {"stack": "python-mptcp+gso_max_bytes=1400", "subflows": subflows, "held_mean": 10.0 * subflows}
                | {f"comparisons_{name}": subflows * (5.0 + place) for place, name in enumerate(ALGORITHMS)}
                | {f"ns_{name}": subflows * (100.0 + 50 * place) for place, name in enumerate(ALGORITHMS)}
                for subflows in (2, 8)
            )
        ),
        "8    80  ours (bisection)         72.0  1.80±0.00  2400  3.00±0.00  2",
    ),
    "setup_latency": (
        {"samples": 200, "repetitions": 2},
        rows(
            *(
                {"stack": stack, "open": count}
                | {
                    f"{name}_{percentile}_us": base * (1 + place)
                    for name, base in (("answer", answer), ("connect", 10 * answer))
                    for place, percentile in enumerate(("p5", "p25", "median", "p75", "p95"))
                }
                for stack, answer in (("kernel-tcp", 5.0), ("kernel-mptcp", 10.0), ("python-mptcp", 100.0))
                for count in (0, 1000)
            )
        ),
        "Python MPTCP  1,000         300  500         3000  5000  400",
    ),
    "syn_flood": (
        {},
        rows(
            *(
                {
                    "stack": stack,
                    "syn": syn,
                    "flood_per_s": asked,
                    "flood_rate_per_s": reached,
                    "heard_share": 1.0,
                    "served_share": share,
                    "latency_ms_total_p50": 2.0,
                    "mptcp_connections": 150,
                    "succeeded": 200,
                }
                for stack, syn, asked, reached, share in (
                    ("python-mptcp", "none", 0, 0.0, 1.0),
                    ("python-mptcp", "mp-capable", 10_000, 8000.0, 0.5),
                    ("python-mptcp+syn_cookies=off", "plain", 10_000, 10_000.0, 0.0),
                )
            )
        ),
        "Python MPTCP  yes      mp-capable  8,000 of 10,000     100     50±0     2.0      75  2",
    ),
    "receive_buffer": (
        {},
        rows(
            *(
                {"stack": stack, "path": path, "buffer_kb": buffer_kb, "goodput_bps": bps + buffer_kb}
                for stack, path, bps in (
                    ("kernel-tcp", "WiFi", 7_600_000),
                    ("kernel-tcp", "3G", 1_900_000),
                    ("python-mptcp", "both", 9_100_000),
                    ("python-mptcp+penalisation=off", "both", 6_100_000),
                    ("python-mptcp+scheduler=blest", "both", 8_100_000),
                )
                for buffer_kb in (50, 1000)
            )
        ),
        "Python MPTCP, with 1, 2        9.10±0.00  9.10±0.00  2",
    ),
    "app_latency": (
        {},
        rows(
            *(
                {
                    "stack": stack,
                    "path": path,
                    "buffer_kb": buffer_kb,
                    "download_frames": 900,
                    **{f"download_delay_ms_p{percentile}": 100 + percentile for percentile in (50, 95, 99, 100)},
                }
                for stack, path in (("kernel-tcp", "3G"), ("python-mptcp", "both"))
                for buffer_kb in (200, 1000)
            )
        ),
        "200  Python MPTCP, with 1, 2     150  195  199      200    1800  2",
    ),
    "schedulers": (
        {},
        rows(
            *(
                {
                    "stack": f"python-mptcp{scheduler}" if scheduler else "kernel-mptcp",
                    "case": "10/4:10/100",
                    "load": load,
                    "throughput_bps": 11.2e6 if load == "bulk" else None,
                    "dialogue_delay_ms_p50": None if load == "bulk" else 47.4,
                    "dialogue_delay_ms_p90": None if load == "bulk" else 51.3,
                    "dialogue_delay_ms_p100": None if load == "bulk" else 59.2,
                    "first_path_share": 0.574,
                    "sent_per_byte": 1.87,
                }
                for scheduler in ("", "+scheduler=ecf", "+scheduler=examples.scheduler:LargestWindow")
                for load in ("bulk", "30000")
            )
        ),
        "10/4:10/100  example: LargestWindow  30 kB                47 ± 0  51 ± 0  59 ± 0  57 ± 0%  1.87 ± 0.00  2",
    ),
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    parameters, points, line = RUNS[request.param]
    stacks = list(dict.fromkeys(point["stack"] for point in points))
    return write_run(tmp_path, request.param, request.param, parameters, points, stacks=stacks), line


def test_the_table_shows_every_stack_by_its_name(run: tuple[Path, str]) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(figures.table(load_run(run[0])))
    assert run[1] in [line.strip() for line in console.export_text().splitlines()]


def test_the_figure_is_drawn(run: tuple[Path, str], tmp_path: Path) -> None:
    png, pdf = figures.save(load_run(run[0]), tmp_path / "figures")
    assert png.stat().st_size > 10_000
    assert pdf.stat().st_size > 5_000


def test_where_ours_is_worse_than_the_kernels_is_told(tmp_path: Path) -> None:
    points = [
        {"repetition": 1, **PASSED, "stack": stack, "row": row, "place": "both", "verdict": verdict}
        for row, kernel, ours in (("nat", "full", "failed"), ("split", "failed", "full"), ("alg", "corrupt", "corrupt"))
        for stack, verdict in (("kernel-mptcp", kernel), ("python-mptcp", ours))
    ]
    path = write_run(tmp_path, "middleboxes", "middleboxes", {}, points, stacks=["kernel-mptcp", "python-mptcp"])
    assert worse_rows(load_run(path)) == ["nat, on both paths"]


SINGLE = {"handover", "interop", "middleboxes"}
"""Experiments whose figures draw no spread: one call each, and verdicts."""


@pytest.mark.parametrize("name", sorted(set(experiment_names()) - SINGLE))
def test_at_quick_scale_there_are_repetitions_for_a_spread(name: str) -> None:
    assert experiment_class(name).scales["quick"].repetitions >= 3


@pytest.mark.parametrize("path", sorted(notebooks.KEPT.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_a_figure_has_no_spread_of_one_repetition_and_its_units_in_brackets(path: Path) -> None:
    """Of the results that are kept."""
    run = notebooks.open_run(path.parent.name)
    drawn = figures.draw(run)
    texts = [text.get_text() for text in drawn.findobj(Text)]
    assert not any("[" in text for text in texts)
    assert not any(text.get_text().startswith("_") for key in drawn.legends for text in key.get_texts())
    repeated = run.passed["repetition"].max() > 1
    bars = [one for axes in drawn.axes for one in axes.containers if isinstance(one, ErrorbarContainer)]
    assert repeated or not any("±" in text for text in texts)
    assert repeated or not any(one.has_xerr or one.has_yerr for one in bars)
    assert repeated or not any(getattr(one, "errorbar", None) for axes in drawn.axes for one in axes.containers)
