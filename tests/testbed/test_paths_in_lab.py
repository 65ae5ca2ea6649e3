"""Every topology, running: client and server reach each other on every path, and MPTCP has a subflow on each."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from testbed.spec.routing import paths
from testbed.spec.templates import load_topology, topology_names
from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.kernel]

STACKS = ("kernel-mptcp", "python-mptcp")
BYTES = 600_000
AT_ONCE = 3  # most of the time is spent on waiting

CODE = f"""
import pathlib
from testbed import stacks
from testbed.spec.routing import paths
from testbed.stacks import measure
load = measure.BulkLoad("download", limit_bytes={BYTES}, check="sha256", time_limit_s=20)
for name, directory in json.loads(sys.argv[1]):
    topology = load_topology(name)
    said = {{"name": name}}
    with Lab(topology) as lab:
        client = lab.hosts["client"]
        pairs = [pair for version in (4, 6) for pair in paths(topology, version=version)]
        pings = [client.popen(["ping", "-c1", "-W3", "-I", str(own), str(other)], stdout=-3) for own, other in pairs]
        said["unreached"] = [list(map(str, pair)) for pair, ping in zip(pairs, pings) if ping.wait()]
        for stack in map(stacks.create, {STACKS}):
            stack.prepare(lab)
            here = pathlib.Path(directory, stack.name)
            here.mkdir(parents=True)
            measured = measure.bulk(lab, stack, load, here)
            report = measured.stacks["client"]
            counters = report["counters"] if report else measured.counters["client"]
            said[stack.name] = [measured.problems, measured.result["content_ok"], counters["MPTcpExtMPJoinSynAckRx"]]
    say(said)
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths")
    named = [(name, str(folder / name)) for name in topology_names()]
    shares = [json.dumps(named[number::AT_ONCE]) for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = pool.map(lambda share: run_inside(CODE, share, timeout=120.0), shares)
        return {one["name"]: one for of_share in said for one in of_share}


@pytest.mark.parametrize("name", topology_names())
def test_client_reaches_server_on_every_path(measured, name):
    assert measured[name]["unreached"] == []


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", topology_names())
def test_mptcp_has_a_subflow_on_every_path(measured, name, stack):
    problems, content_ok, joins = measured[name][stack]
    assert problems == []
    assert content_ok
    # The kernel's IPv4 socket has no subflows over IPv6.
    versions = (4, 6) if stack == "python-mptcp" else (4,)
    topology = load_topology(name)
    assert 1 + joins == sum(len(paths(topology, version=version)) for version in versions)
