"""Every stack under test on a real lab: loads run and pass their checks, and sabotage is found and named."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mptcp_stack.build import running
from testbed import stacks
from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BULK_BYTES = 2_000_000

PRELUDE = """
import dataclasses, pathlib
from testbed import stacks
from testbed.stacks import measure
directory = pathlib.Path({directory!r})
def http(kind, size, requests):
    load = measure.HttpLoad(size, requests, concurrency=10, request_timeout_s=20, time_limit_s=30)
    say(dataclasses.asdict(kind(lab, stack, load, directory)))
def bulk(kind, direction, **limit):
    say(dataclasses.asdict(kind(lab, stack, measure.BulkLoad(direction, **limit), directory)))
with Lab(load_topology("two-paths", {{"queue": "500 kB"}})) as lab:
    client, server = lab.hosts["client"], lab.hosts["server"]
    stack = stacks.create({stack!r})
    stack.prepare(lab)
    {body}
"""

ALL_LOADS = f"""
    http(measure.http, 100_000, 60)
    for direction in ("download", "upload"):
        bulk(measure.bulk, direction, limit_bytes={BULK_BYTES})
    if stack.supports("ab"):
        http(measure.apache, 100_000, 60)
"""


def measured(directory: Path, stack: str, body: str) -> list[dict]:
    return run_inside(PRELUDE.format(directory=str(directory), stack=stack, body=body))


@dataclass
class Loads:
    stack: str
    directory: Path
    http: dict
    download: dict
    upload: dict
    apache: dict | None = None


@pytest.fixture(scope="module", params=stacks.names())
def loads(request, tmp_path_factory) -> Loads:
    """Every load, one after the other on one lab, with every stack."""
    directory = tmp_path_factory.mktemp(request.param)
    return Loads(request.param, directory, *measured(directory, request.param, ALL_LOADS))


def carried(measurement: dict) -> list[float]:
    """Each path's share of what the server sent."""
    sent = [numbers["tx_bytes"] for name, numbers in measurement["paths"]["server"].items() if "server-" in name]
    return [number / sum(sent) for number in sent]


@pytest.mark.alone
def test_http_passes_its_checks(loads):
    assert loads.http["problems"] == []
    assert loads.http["result"]["succeeded"] == 60
    paths = 1 if loads.stack.endswith("-tcp") else 2
    assert sum(share > 0.2 for share in carried(loads.http)) == paths
    assert (loads.directory / "requests.csv").read_text().count("ok") == 60


@pytest.mark.alone
def test_programs_say_which_build_they_ran(loads):
    assert loads.http["build"] == (running() if loads.stack.startswith("python") else None)


def test_programs_of_a_pure_stack_are_pure_python(tmp_path):
    body = f"bulk(measure.bulk, 'download', limit_bytes={BULK_BYTES})"
    (download,) = measured(tmp_path, "python-mptcp+build=pure", body)
    assert [download["stacks"][host]["build"] for host in ("client", "server")] == ["pure", "pure"]
    assert (download["problems"], download["build"]) == ([], "pure")


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_bulk_passes_its_checks(loads, direction):
    measurement = getattr(loads, direction)
    assert measurement["problems"] == []
    result = measurement["result"]
    assert (result["direction"], result["received_bytes"], result["content_ok"]) == (direction, BULK_BYTES, True)
    # Never more than the two links of 50 Mbit/s have.
    assert 20e6 < result["throughput_bps"] < 100e6


@pytest.mark.alone
def test_apache_bench_passes_its_checks(loads):
    if loads.apache is None:
        assert loads.stack.startswith("python-")
        return
    assert loads.apache["problems"] == []
    assert loads.apache["result"]["generator"] == "ab"
    assert loads.apache["result"]["succeeded"] == 60
    assert loads.apache["result"]["received_bytes"] > 60 * 100_000
    assert "AcceptFilter" in (loads.directory / "apache2-apache2.conf").read_text()


@pytest.mark.alone
def test_iperf3_over_kernel_mptcp(tmp_path):
    (measurement,) = measured(tmp_path, "kernel-mptcp", "bulk(measure.iperf3, 'download', limit_seconds=1.0)")
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
    "join stripped": (
        "kernel-mptcp",
        "filter(server, 'tcp option mptcp subtype 1 reset tcp option mptcp')",
        ["no second subflow: MP_JOIN stripped"],
    ),
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
    (measurement,) = measured(tmp_path, name, FILTER + f"    {sabotage}\n    http(measure.http, 100_000, 40)")
    problems = " ".join(measurement["problems"])
    for phrase in words:
        assert phrase in problems
