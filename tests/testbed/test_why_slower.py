"""The experiment why-slower: which points it has on which topology, and what each of them changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.why_slower.networks import first, lossless, near, round_trip_ns, ways
from testbed.experiment import Experiment, Point, experiment_class, resolve
from testbed.spec.templates import load_topology

MS = 1_000_000


def experiment(*settings: str) -> Experiment:
    return resolve(experiment_class("why-slower"), None, ["repetitions=1", *settings])


def variants(found: Experiment) -> list[tuple[str, str, str]]:
    return [
        (point.stack, str(point.factors["path"]), str(point.factors["change"])) for point in found.points(found.stacks)
    ]


def test_tcp_has_each_path_alone_and_mptcp_each_change() -> None:
    assert variants(experiment()) == [
        ("kernel-tcp", "wifi", "none"), ("kernel-tcp", "mobile", "none"),
        *(("kernel-mptcp", "all", change)
          for change in ("none", "buffers", "congestion", "checksums", "segments", "core", "delays")),
        ("python-tcp", "wifi", "none"), ("python-tcp", "mobile", "none"),
        *(("python-mptcp", "all", change)
          for change in ("none", "buffers", "scheduler", "congestion", "checksums", "segments", "core", "delays")),
    ]  # fmt: skip


def test_what_makes_no_difference_on_a_topology_is_left_out() -> None:
    changes = {change for _, _, change in variants(experiment("topology=two-paths"))}
    assert not changes & {"delays", "loss"}
    changes = {change for _, _, change in variants(experiment("wifi_loss=1 %"))}
    assert changes >= {"delays", "loss"}


def test_a_point_changes_its_network_and_no_other() -> None:
    found = experiment("wifi_loss=1 %")

    def network(path: str, change: str) -> list[tuple[str, int, float]]:
        (point,) = (
            one
            for one in found.points(["kernel-tcp", "kernel-mptcp"])
            if one.factors == {"path": path, "change": change}
        )
        return [(link.name, link.delay_ns, link.loss) for link in found.topology_of(point.topology).links]

    wifi, mobile = ("wifi", 10 * MS, 0.01), ("mobile", 75 * MS, 0.0)
    assert network("all", "none") == network("wifi", "none") == [wifi, mobile]
    assert network("mobile", "none") == [mobile, wifi]
    assert network("all", "delays") == [wifi, ("mobile", 10 * MS, 0.0)]
    assert network("all", "loss") == [("wifi", 10 * MS, 0.0), mobile]


def test_one_core_is_for_both_programs() -> None:
    found = experiment("core=1")
    assert (
        found.placement(Point("kernel-mptcp", 1, {"path": "all", "change": "core"})).process_cpus == "client:1,server:1"
    )
    assert found.placement(Point("kernel-mptcp", 1, {"path": "all", "change": "none"})).process_cpus == ""


def test_paths_behind_routers_are_found() -> None:
    topology = load_topology("two-paths-routed")
    assert {name: [link.name for link in way] for name, way in ways(topology).items()} == {
        "access1": ["access1", "core1"], "access2": ["access2", "core1"],
    }  # fmt: skip


def test_the_delay_that_a_path_has_more_is_taken_from_its_own_links() -> None:
    topology = load_topology("two-paths-routed")
    delays = {"access1": 5 * MS, "access2": 30 * MS, "core1": 10 * MS}
    links = tuple(link.model_copy(update={"delay_ns": delays.get(link.name, 0)}) for link in topology.links)
    nearer = near(topology.model_copy(update={"links": links}))
    assert {name: round_trip_ns(way) for name, way in ways(nearer).items()} == {"access1": 30 * MS, "access2": 30 * MS}
    assert {link.name: link.delay_ns for link in nearer.links} == delays | {"access2": 5 * MS, "core2": 0}


def test_delay_and_loss_of_the_way_back_are_changed_too(tmp_path: Path) -> None:
    path = tmp_path / "asymmetric.yaml.j2"
    path.write_text(
        """{#- summary: back is another way -#}
name: {{ topology }}
description: two
hosts: [{name: client}, {name: server}]
links:
  - {name: a, rate: 1 Mbit/s, queue: 10 kB, delay: 10 ms, ends: [
      {host: client, interface: client-eth1, address: 10.0.1.1/24},
      {host: server, interface: server-eth1, address: 10.0.1.2/24}]}
  - {name: b, rate: 1 Mbit/s, queue: 10 kB, delay: 20 ms, reverse: {delay: 60 ms, loss: 1 %}, ends: [
      {host: client, interface: client-eth2, address: 10.0.2.1/24},
      {host: server, interface: server-eth2, address: 10.0.2.2/24}]}
"""
    )
    topology = load_topology(str(path))
    _, nearer = near(topology).links
    assert [one.delay_ns for one in nearer.directions] == [5 * MS, 15 * MS]
    _, whole = lossless(topology).links
    assert [one.loss for one in whole.directions] == [0, 0]
    assert [link.name for link in first(topology, "b").links] == ["b", "a"]


@pytest.mark.parametrize("setting", ["network=x", "size=2", "buffer=1 kB"])
def test_what_it_does_not_take_is_refused(setting: str) -> None:
    with pytest.raises(Exception, match=setting.split("=")[0]):
        experiment(setting).specification()
