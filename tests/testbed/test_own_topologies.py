"""A topology of a user's own under every experiment: what it is told, what it must have, and quantities with units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbed.errors import LabError
from testbed.experiment import Experiment, experiment_class, experiment_names, resolve
from testbed.spec.templates import load_topology

HEAD = """{#-
summary: one's own
parameters:
  wifi_loss: {default: 0 %, help: packets lost}
  PARAMETERS
-#}
{%- import "macros.j2" as lab -%}
name: mine
hosts:
  - name: client
  - name: server
links:
"""
TWO_PATHS = """
{{- lab.link("wifi", lab.host("client", 1, "10.0.1", 1, routed=false), lab.host("server", 1, "10.0.1", 2, routed=false),
             "6 Mbit/s", "60 kB", "5 ms", wifi_loss) }}
{{- lab.link("sat", lab.host("client", 2, "10.0.2", 1, routed=false), lab.host("server", 2, "10.0.2", 2, routed=false),
             "1 Mbit/s", "60 kB", "280 ms") }}
"""
VARIED = {
    "ab-microflows": "rate, delay",
    "bench": "rate, queue, paths, wire, mtu",
    "bulk-veth": "wire",
    "dss-checksum": "wire",
    "lossy-link": "loss",
    "receive-algorithms": "paths, rate, delay, queue",
    "schedulers": "rate, delay",
    "simultaneous-flows": "rate, delay",
}
"""What experiments vary from point to point in their topology; all others take any with a client and a server."""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml.j2"
    path.write_text(HEAD.replace("PARAMETERS", "") + TWO_PATHS)
    return path


def planned(name: str, template: Path, *settings: str) -> Experiment[Any]:
    experiment = resolve(experiment_class(name), None, [f"topology={template}", *settings])
    experiment.specification()
    return experiment


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_takes_a_topology_or_says_all_that_it_lacks(name: str, mine: Path) -> None:
    if name not in VARIED:
        planned(name, mine)
        return
    with pytest.raises(LabError) as caught:
        planned(name, mine)
    varied = VARIED[name]
    assert caught.value.message == (
        f"{mine}: the experiment varies {varied}, but it has no such parameters; its own: wifi_loss"
    )
    assert caught.value.exit_code == 2


def test_what_the_user_sets_by_name_is_not_left_out(mine: Path) -> None:
    with pytest.raises(LabError, match=r"--set gives rate, queue, but it has no such parameters; its own: wifi_loss"):
        planned("fairness", mine, "rate=5 Mbit/s", "queue=50 kB")


def test_parameters_of_the_topology_are_set_beside_those_of_the_experiment(mine: Path) -> None:
    loss = planned("fairness", mine, "wifi_loss=2 %").topology_of({}).links[0].loss
    assert loss == 0.02
    assert planned("fairness", mine).topology_of({}).links[0].loss == 0
    emulated = resolve(experiment_class("time-wait"), None, ["backend=emulator"])
    assert {link.kind for link in emulated.topology_of({}).links} == {"emulator"}


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("lossy-link", "loss=1 %", "--set loss: lossy-link sets this itself, see the parameters of 'plan'"),
        ("lossy-link", "paths=2", "--set paths: lossy-link sets this itself, see the parameters of 'plan'"),
        ("lossy-link", "speed=1", "--set: unknown parameter 'speed'"),
    ],
)
def test_what_the_experiment_decides_is_not_set_behind_its_back(name: str, setting: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        resolve(experiment_class(name), None, [setting]).specification()
    assert caught.value.message.startswith(message)


def test_hosts_that_are_missing_or_apart_are_refused(mine: Path) -> None:
    text = mine.read_text()
    mine.write_text(text.replace("client", "phone"))
    with pytest.raises(LabError, match="no host client, between which experiments measure; it has: phone, server"):
        planned("fairness", mine)
    mine.write_text(
        (HEAD.replace("PARAMETERS", "") + TWO_PATHS)
        .replace("- name: server", "- name: server\n  - name: island")
        .replace('lab.host("server"', 'lab.host("island"')
    )
    with pytest.raises(LabError, match="no way between client and server"):
        planned("fairness", mine)


def test_every_parameter_of_every_experiment_has_a_line_of_help() -> None:
    for name in experiment_names():
        for table in experiment_class(name).scales.values():
            for parameter, field in type(table).model_fields.items():
                assert field.description, f"{name}: {parameter}"
                assert len(field.description) <= 80, f"{name}: {parameter}"


@pytest.mark.parametrize(
    ("name", "setting", "example"),
    [
        ("fairness", "delay=5", "10 ms"),
        ("fairness", "rate=50", "50 Mbit/s"),
        ("fairness", "queue=100000", "100 kB"),
        ("ab-microflows", "slow_delay=5", "10 ms"),
        ("handover", "down_at=5", "10 ms"),
        ("app-latency", "block=8192", "100 kB"),
    ],
)
def test_parameters_without_their_unit_are_refused(name: str, setting: str, example: str) -> None:
    key, _, value = setting.partition("=")
    with pytest.raises(LabError) as caught:
        resolve(experiment_class(name), None, [setting])
    assert caught.value.message.startswith(f'--set: {key}: needs a unit, e.g. "{example}" (got {value}); units are ')


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"delay": "5"}, "links[0].delay"),
        ({"delay": 5}, "links[0].delay"),
        ({"rate": "50"}, "links[0].rate"),
        ({"queue": "100000"}, "links[0].queue"),
        ({"middleboxes": "[{kind: nat, timeout: 30}]", "delay": "1 ms"}, "links[0].middleboxes[0].timeout"),
        ({"middleboxes": "[{kind: split, size: 500}]", "delay": "1 ms"}, "links[0].middleboxes[0].size"),
        ({"middleboxes": "[]\n    schedule: [{at: 5, state: down}]", "delay": "1 ms"}, "links[0].schedule[0].at"),
        ({"middleboxes": "[]\n    tolerance: {delay: 2}", "delay": "1 ms"}, "links[0].tolerance.delay"),
    ],
)
def test_numbers_in_a_topology_without_their_unit_are_refused(parameters: dict[str, object], field: str) -> None:
    with pytest.raises(LabError) as caught:
        load_topology("two-paths", parameters)
    assert f": {field}: needs a unit, e.g. " in caught.value.message, caught.value.message


def test_a_loss_of_one_may_be_meant_in_percent() -> None:
    with pytest.raises(LabError, match='1 could be "1 %" or "100 %": write one of them'):
        load_topology("two-paths", {"loss": "1"})


def test_nothing_and_what_protocols_count_in_bytes_need_no_unit() -> None:
    boxes = "[{kind: mss-clamp, mss: 1000}, {kind: icmp-blackhole, mtu: 1400}]"
    link = load_topology("two-paths", {"delay": 0, "loss": 0, "middleboxes": boxes}).links[0]
    assert [link.delay_ns, link.loss, link.middleboxes[0]["mss"]] == [0, 0, 1000]


def test_a_trace_beside_the_template_is_found_from_anywhere(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mine.parent / "wifi.trace").write_text("1\n2\n10\n")
    mine.write_text(mine.read_text().replace('"6 Mbit/s", "60 kB"', '"none\\n    trace: wifi.trace", "60 kB"'))
    monkeypatch.chdir("/")
    trace = load_topology(str(mine)).links[0].trace
    assert trace is not None
    assert (trace.file, trace.opportunities_ms) == ("wifi.trace", (1, 2, 10))
