"""Every stack under test on a real lab: loads run and pass their checks, and sabotage is found and named."""

from pathlib import Path

import pytest

from testbed import stacks
from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.kernel]

KERNEL = ("kernel-tcp", "kernel-mptcp", "kernel-bond")
PYTHON = ("python-mptcp", "python-tcp")

PRELUDE = """
import dataclasses, pathlib
from testbed import stacks
from testbed.stacks import measure
directory = pathlib.Path({directory!r})
def tell(measurement):
    say(dataclasses.asdict(measurement))
with Lab(load_topology("two-paths", {{"queue": "500 kB"}})) as lab:
    client, server = lab.hosts["client"], lab.hosts["server"]
    stack = stacks.create({stack!r})
    stack.prepare(lab)
    {body}
"""

HTTP = "measure.HttpLoad({size}, requests={requests}, concurrency=10, request_timeout_s=20, time_limit_s=30)"


def measured(directory: Path, stack: str, body: str) -> list[dict]:
    return run_inside(PRELUDE.format(directory=str(directory), stack=stack, body=body))


def http_body(size: int, requests: int, kind: str = "http") -> str:
    return f"tell(measure.{kind}(lab, stack, {HTTP.format(size=size, requests=requests)}, directory))"


def carried(measurement: dict) -> list[float]:
    """Each path's share of what the server sent."""
    sent = [numbers["tx_bytes"] for name, numbers in measurement["paths"]["server"].items() if "server-" in name]
    return [number / sum(sent) for number in sent]


@pytest.mark.parametrize("name", stacks.names())
def test_http_passes_its_checks(name, tmp_path):
    (measurement,) = measured(tmp_path, name, http_body(100_000, 60))
    assert measurement["problems"] == []
    assert measurement["result"]["succeeded"] == 60
    paths = 1 if name.endswith("-tcp") else 2
    assert sum(share > 0.2 for share in carried(measurement)) == paths
    assert (tmp_path / "requests.csv").read_text().count("ok") == 60


@pytest.mark.parametrize("name", KERNEL)
def test_apache_bench_passes_its_checks(name, tmp_path):
    (measurement,) = measured(tmp_path, name, http_body(100_000, 60, "apache"))
    assert measurement["problems"] == []
    assert measurement["result"]["generator"] == "ab"
    assert measurement["result"]["succeeded"] == 60
    assert measurement["result"]["received_bytes"] > 60 * 100_000
    assert "AcceptFilter" in (tmp_path / "apache2-apache2.conf").read_text()


@pytest.mark.parametrize("name", stacks.names())
def test_bulk_passes_its_checks_both_ways(name, tmp_path):
    body = "[tell(measure.bulk(lab, stack, measure.BulkLoad(way, limit_bytes=4_000_000), directory)) for way in {}]"
    measurements = measured(tmp_path, name, body.format(("download", "upload")))
    for measurement in measurements:
        assert measurement["problems"] == []
        assert measurement["result"]["received_bytes"] == 4_000_000
        assert measurement["result"]["content_ok"] is True
        # More than one path's worth for what uses both, never more than the links have.
        assert 30e6 < measurement["result"]["throughput_bps"] < 100e6
    assert [measurement["result"]["direction"] for measurement in measurements] == ["download", "upload"]


def test_iperf3_over_kernel_mptcp(tmp_path):
    body = "tell(measure.iperf3(lab, stack, measure.BulkLoad('download', limit_seconds=1.0), directory))"
    (measurement,) = measured(tmp_path, "kernel-mptcp", body)
    assert measurement["problems"] == []
    assert 70e6 < measurement["result"]["throughput_bps"] < 100e6


SABOTAGE = {
    "limit": (
        "kernel-mptcp",
        "client.run(['ip', 'mptcp', 'limits', 'set', 'subflows', '0', 'add_addr_accepted', '0'])",
        ["no second subflow", "limit 0: client"],
    ),
    "route missing": ("kernel-mptcp", "client.run(['ip', 'route', 'del', '10.0.2.0/24'])", ["route missing"]),
    "refused": (
        "kernel-mptcp",
        "server.run(['ip', 'mptcp', 'limits', 'set', 'subflows', '0'])",
        ["join reset", "limit 0: server subflows"],
    ),
    "not announced": ("kernel-mptcp", "server.run(['ip', 'mptcp', 'endpoint', 'flush'])", ["address never announced"]),
    "join lost": ("kernel-mptcp", "filter(server, 'tcp option mptcp subtype 1 drop')", ["SYN lost"]),
    "options removed": (
        "kernel-mptcp",
        "filter(server, 'tcp option mptcp exists reset tcp option mptcp')",
        ["only 0 of 40 connections reached the server with MP_CAPABLE", "40 fallbacks to plain TCP"],
    ),
    "mptcp off": (
        "kernel-mptcp",
        "client.set_sysctl('net.mptcp.enabled', '0')",
        ["40 of 40 requests failed", "net.mptcp.enabled is 0"],
    ),
    "congestion control": (
        "kernel-tcp",
        "server.set_sysctl('net.ipv4.tcp_congestion_control', 'reno')",
        ["congestion control reno, not cubic"],
    ),
    "python: join lost": ("python-mptcp", "filter(server, 'tcp option mptcp subtype 1 drop')", ["SYN lost"]),
    "python: options removed": (
        "python-mptcp",
        "filter(server, 'tcp option mptcp exists reset tcp option mptcp')",
        ["only 0 of 40 connections reached the server with MP_CAPABLE", "40 fallbacks to plain TCP"],
    ),
}

FILTER = """
    def filter(host, rule):
        host.run(["nft", "-f", "-"], input="table inet sabotage { chain inbound { type filter hook prerouting priority "
                 "-300; " + rule + "; }\\n}\\n")
"""


@pytest.mark.parametrize("kind", SABOTAGE)
def test_sabotage_is_found_and_named(kind, tmp_path):
    name, sabotage, words = SABOTAGE[kind]
    (measurement,) = measured(tmp_path, name, FILTER + f"    {sabotage}\n    " + http_body(300_000, 40))
    problems = " ".join(measurement["problems"])
    for phrase in words:
        assert phrase in problems
