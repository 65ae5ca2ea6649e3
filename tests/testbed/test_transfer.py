"""The experiment that takes any topology: which hosts it chooses, what it refuses, what its figure shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import figures, style
from analysis.figures import transfer
from analysis.load import UnreadableRun, load_run
from experiments.transfer import Transfer
from testbed.errors import LabError
from testbed.experiment import Experiment, experiment_class, resolve
from testbed.spec.templates import topology_names
from tests.analysis.test_analysis import write_run

ROUTED = """{# summary: any #}
name: any
hosts: [{name: r, forward: true}, {name: a}, {name: client}, {name: z}]
links:
  - {name: x, ends: [{host: a, interface: a-eth1, address: 10.0.9.1/24},
                     {host: z, interface: z-eth9, address: 10.0.9.2/24}]}
  - {name: l1, rate: 5 Mbit/s, queue: 50 kB, schedule: [{at: 1 s, state: down, carrier: client}], delay: 1 ms,
     ends: [{host: r, interface: r-eth1, address: 10.0.1.254/24},
            {host: client, interface: c-eth1, address: 10.0.1.1/24, gateway: 10.0.1.254}]}
  - {name: l2, ends: [{host: r, interface: r-eth2, address: 10.0.2.254/24},
                      {host: z, interface: z-eth1, address: 10.0.2.1/24, gateway: 10.0.2.254}]}
"""


@pytest.fixture
def routed(tmp_path: Path) -> Path:
    path = tmp_path / "any.yaml.j2"
    path.write_text(ROUTED)
    return path


def planned(*settings: str) -> Experiment[Any]:
    experiment = resolve(experiment_class("transfer"), None, list(settings))
    experiment.specification()
    return experiment


def ends(experiment: Experiment[Any]) -> dict[str, set[str]]:
    """The hosts at the ends of each link, in the order of the links."""
    return {link.name: {end.host for end in link.ends} for link in experiment.topology_of({}).links}


@pytest.mark.parametrize("name", topology_names())
def test_it_takes_every_topology_of_the_lab(name: str) -> None:
    planned(f"topology={name}")


def test_client_keeps_its_name_and_the_last_host_is_the_server_reached_first(routed: Path) -> None:
    experiment = planned(f"topology={routed}")
    assert ends(experiment) == {"l2": {"r", "server"}, "x": {"a", "server"}, "l1": {"r", "client"}}
    assert next(iter(ends(experiment))) in ("l2", "x")


def test_hosts_that_are_asked_for_change_names_with_those_that_have_them(routed: Path) -> None:
    experiment = planned(f"topology={routed}", "client=a", "server=z")
    assert ends(experiment) == {"x": {"client", "server"}, "l1": {"r", "a"}, "l2": {"r", "server"}}
    (link,) = (one for one in experiment.topology_of({}).links if one.name == "l1")
    assert link.schedule[0].carrier == "a"


def test_one_name_that_is_there_is_enough(routed: Path) -> None:
    routed.write_text(re.sub(r"\bz\b", "server", re.sub(r"\bclient\b", "q", ROUTED)))
    assert ends(planned(f"topology={routed}")) == {"x": {"client", "server"}, "l2": {"r", "server"}, "l1": {"r", "q"}}


def test_names_that_move_in_a_row_stay_apart(routed: Path) -> None:
    """`client` is to be the server, and another one the client: who had a name takes one that is free."""
    experiment = planned(f"topology={routed}", "client=z", "server=client")
    assert {host.name for host in experiment.topology_of({}).hosts} == {"r", "a", "z", "client", "server"} - {"z"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("client=q",), "--set client: TOPOLOGY: unknown host 'q'; allowed: a, client, z"),
        (("server=r",), "--set server: TOPOLOGY: unknown host 'r'; allowed: a, client, z"),
        (("client=a", "server=a"), "--set client, server: both are a"),
        (("client=a", "server=client"), "TOPOLOGY: no way between a and client: no common subnet,"),
        (("traffic=vido",), "--set: traffic: unknown traffic model 'vido', did you mean video?"),
    ],
)
def test_what_cannot_be_is_one_line(routed: Path, settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabError) as caught:
        planned(f"topology={routed}", *settings)
    assert caught.value.message.startswith(message.replace("TOPOLOGY", str(routed)))
    assert caught.value.exit_code == 2


def test_a_topology_with_one_host_is_refused(routed: Path) -> None:
    routed.write_text(
        ROUTED.replace("{name: a}", "{name: a, forward: true}").replace("{name: z}", "{name: z, forward: true}")
    )
    with pytest.raises(LabError, match="a transfer needs two hosts that are no routers; it has 1"):
        planned(f"topology={routed}")


def write(root: Path, stack: str, repetition: int) -> list[dict[str, Any]]:
    """Write the raw files of the three loads, as the generators do; return their rows."""
    rows = []
    for load in ("bulk", "web", "frames"):
        directory = root / "points" / f"{stack}.load-{load}.r{repetition}"
        directory.mkdir(parents=True)
        result: dict[str, float] = {}
        if load == "bulk":
            times = [n * 100_000_000 for n in range(41)]
            pd.DataFrame({"time_ns": times, "received_bytes": [time // 1000 for time in times]}).to_csv(
                directory / "timeline.csv", index=False
            )
            result = {"throughput_bps": 8e6}
        elif load == "web":
            due = pd.Series(range(10)) * 1_000_000
            pd.DataFrame(
                {"due_ns": due, "end_ns": due + (due.index + 1) * 10_000_000, "outcome": ["ok"] * 9 + ["timeout"]}
            ).to_csv(directory / "requests.csv", index=False)
            result = {"requests_per_s": 20.0, "latency_ms_total_p50": 50.0}
        else:
            due = pd.Series(range(10)) * 1_000_000
            pd.DataFrame({"due_ns": due, "received_ns": due + 20_000_000}).to_csv(
                directory / "frames-download.csv", index=False
            )
            result = {"download_delay_ms_p50": 20.0}
        rows.append({"stack": stack, "repetition": repetition, "load": load, "outcome": "passed", "why": "", **result})
    return rows


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = write_run(tmp_path, "transfer", Transfer.figure, {"seconds": 4}, [{}], stacks=["kernel-tcp", "mine:A"])
    rows = [row for stack in ("kernel-tcp", "mine-A") for n in (1, 2) for row in write(path, stack, n)]
    frame = pd.DataFrame(rows).replace({"stack": {"mine-A": "mine:A"}})
    frame.to_csv(path / "results.csv", index=False)
    return path


def test_rates_over_time_and_distributions_are_drawn(results: Path) -> None:
    run = load_run(results)
    rates = transfer.rates(run)
    assert rates["bps"].tolist() == pytest.approx([8e6] * len(rates))
    assert rates.groupby(["stack", "repetition"]).size().tolist() == [20] * 4
    style.apply()
    panels = figures.draw(run).axes
    assert [axes.get_title("left") for axes in panels] == [
        "bulk transfer; n = 2",
        "web requests; n = 2",
        "frames; n = 2",
    ]
    assert max(panels[1].lines[-1].get_ydata()) == pytest.approx(0.9), "one of ten requests failed"
    columns = [list(column.cells) for column in figures.table(run).columns]
    assert columns[2][0] == "8.00 ± 0.00"
    assert figures.save(run, results / "figures")


def test_a_torn_timeline_is_refused(results: Path) -> None:
    (results / "points" / "kernel-tcp.load-bulk.r1" / "timeline.csv").write_text("time_ns,received_bytes\n")
    with pytest.raises(UnreadableRun, match=r"timeline\.csv"):
        figures.draw(load_run(results))
