"""All collectors at once on a real lab: what they say agrees with the transfer, and nothing of them stays."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from analysis.collected import load
from analysis.collected.files import deltas
from testbed.collectors import COLLECTORS
from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BULK_BYTES = 4_000_000
OVERHEAD = 1.15
"""What headers, and data sent twice, may add to the bytes of the transfer."""
ELSEWHERE = {"kernel-mptcp": {"events"}, "python-mptcp": {"mptcp-monitor"}}
"""What the stack has nothing of."""
HARDWARE = {"perf"}
"""What a virtual machine often has nothing of."""

PRELUDE = """
import os, pathlib
from testbed import stacks
from testbed.collectors.collection import Wanted
from testbed.errors import LabError
from testbed.stacks import measure
directory = pathlib.Path({directory!r})
collect = Wanted(added=tuple({collectors!r}))
def processes():
    return sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit())
with Lab(load_topology("two-paths", {{"queue": "500 kB", "rate": "20 Mbit/s"}})) as lab:
    stack = stacks.create({stack!r})
    stack.prepare(lab)
    before = processes()
    {body}
    say([before, processes()])
"""

TRANSFER = f"""
    load = measure.BulkLoad("download", limit_bytes={BULK_BYTES})
    measurement = measure.bulk(lab, stack, load, directory, collect=collect)
    say([measurement.problems, measurement.collectors])
"""

FAILURE = """
    load = measure.BulkLoad("download", limit_seconds=30.0)
    def fail(share):
        raise LabError("the load fails")
    try:
        measure.bulk(lab, stack, load, directory, collect=collect, progress=fail)
    except LabError as error:
        say(error.message)
"""


def run(directory: Path, stack: str, body: str) -> list:
    return run_inside(PRELUDE.format(directory=str(directory), stack=stack, body=body, collectors=list(COLLECTORS)))


@dataclass
class Watched:
    stack: str
    directory: Path
    problems: list[str]
    records: dict[str, dict]
    processes: list[list[int]]

    def frame(self, name: str, parser: str | None = None):
        return load(self.directory, name, parser)


@pytest.fixture(scope="module", params=ELSEWHERE)
def watched(request, tmp_path_factory) -> Watched:
    directory = tmp_path_factory.mktemp(request.param)
    (problems, records), processes = run(directory, request.param, TRANSFER)
    return Watched(request.param, directory, problems, records, processes)


def test_what_can_run_runs_and_the_rest_says_why(watched):
    assert watched.problems == []
    outcomes = {name: record["outcome"] for name, record in watched.records.items()}
    assert set(outcomes) == set(COLLECTORS)
    for name, outcome in outcomes.items():
        if name in ELSEWHERE[watched.stack]:
            assert outcome == "not applicable"
        elif name not in HARDWARE:
            assert (outcome, watched.records[name]["why"]) == ("ran", None)
        assert outcome == "ran" or watched.records[name]["why"]


def test_nothing_is_left_running(watched):
    before, after = watched.processes
    assert set(after) <= set(before)


def test_both_paths_carried_the_transfer(watched):
    frame = watched.frame("interfaces")
    sent = deltas(frame, ["host", "interface"], ["tx_bytes"]).query("host == 'server'")
    paths = sent.groupby("interface")["tx_bytes"].sum()[["server-eth1", "server-eth2"]]
    assert BULK_BYTES < paths.sum() < OVERHEAD * BULK_BYTES
    assert paths.min() > 0.2 * BULK_BYTES


def test_subflows_agree_with_the_transfer(watched):
    frame = watched.frame("sockets").query("host == 'server' and time_s > 0.2")
    frame = frame[frame["bytes_sent"] > 0]
    by_path = frame.groupby("local")
    assert len(by_path) == 2
    assert (by_path["srtt_s"].max() > 0.001).all()
    assert (by_path["cwnd_bytes"].max() > 10_000).all()
    assert 0.3 * BULK_BYTES < by_path["bytes_sent"].max().sum() < OVERHEAD * BULK_BYTES
    assert frame["token"].nunique() == 1
    assert sorted(by_path["joined"].first()) == [False, True]


def test_captures_agree_with_the_transfer(watched):
    frame = watched.frame("pcap")
    port = frame["source"].str.endswith(":5001") & frame["interface"].str.startswith("server")
    assert BULK_BYTES <= frame[port]["payload_bytes"].sum() < OVERHEAD * BULK_BYTES
    for counts in watched.records["pcap"]["details"].values():
        assert counts["dropped_by_kernel"] == 0
        assert counts["captured"] > 0


def test_states_cores_and_threads_are_plausible(watched):
    states = watched.frame("socket-states")
    assert (states[states["state"] == "ESTABLISHED"].groupby("host")["sockets"].max() >= 2).all()
    assert "TIME-WAIT" in set(states["state"])
    programs = watched.frame("cpu").groupby("host")["run_s"].max()
    assert programs["client"] > 0.05
    assert programs["server"] > 0.05
    received = watched.frame("tracepoints").query("event == 'net:netif_receive_skb' and interface == 'client-eth1'")
    assert received.groupby("cpu")["count"].max().sum() > 100
    softnet = watched.frame("softnet").query("counter == 'processed'").groupby("cpu")["value"]
    assert (softnet.max() - softnet.min()).sum() > 1000


def test_the_stacks_own_voice(watched):
    if watched.stack == "kernel-mptcp":
        announced = watched.frame("mptcp-monitor")
        assert {"ESTABLISHED", "SF_ESTABLISHED"} <= set(announced["event"])
        assert watched.records["mptcp-monitor"]["details"]["lost_messages"] == {"client": 0, "server": 0}
        counters = watched.frame("nstat").query("host == 'client'")
    else:
        events = watched.frame("events")
        sent = events[(events["event"] == "DataSent") & (events["host"] == "server")]
        assert sent["length_bytes"].sum() == BULK_BYTES
        assert set(sent["subflow"]) == {0, 1}
        counters = watched.frame("nstat")
        counters = counters[(counters["stack"] == "ours") & (counters["host"] == "client")]
    assert "MPTcpExtMPJoinSynAckRx" in set(counters["counter"])


@pytest.mark.parametrize("stack", ELSEWHERE)
def test_load_that_fails_leaves_nothing_running(stack, tmp_path):
    message, (before, after) = run(tmp_path, stack, FAILURE)
    assert message == "the load fails"
    assert set(after) <= set(before)
    assert len(load(tmp_path, "interfaces")) > 0, "what was collected until then is there"
