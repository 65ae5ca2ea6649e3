"""Middleboxes in a running lab, our stack behind them: real packets, and the verdict of the matrix."""

import json
import subprocess
import sys

import pytest

from tests.testbed.lab_run import ROOT, run_inside

pytestmark = pytest.mark.root

VERDICTS = {
    "strip-non-syn": "fallback",
    "nat-timeout-reset": "full",
    "coalesce": "fallback",
}


@pytest.mark.alone  # `coalesce` is no fallback where the join comes before the first segments that fit into one
def test_our_stack_comes_through(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "run", "middleboxes", "--out", tmp_path, "--stacks", "python-mptcp", "--json",
         "--set", f"rows={','.join(VERDICTS)}", "--set", "places=both", "--set", "round_bytes=200 kB"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    points = json.loads(done.stdout)["points"]
    assert {point["row"]: point["verdict"] for point in points} == VERDICTS
    assert all(point["middleboxes_changed"] + point["middleboxes_dropped"] for point in points)


def test_they_are_of_the_topology_and_can_be_changed():
    with_mss, counters, without, refused = run_inside(
        """
from testbed.errors import LabError
SERVER = "import socket; s = socket.create_server(('10.0.1.2', 5000)); print('up', flush=True); s.accept()"
CLIENT = "import socket; s = socket.create_connection(('10.0.1.2', 5000)); print(s.getsockopt(6, 2))"  # TCP_MAXSEG
def mss_of_a_connection():
    server = lab.hosts["server"].popen([sys.executable, "-c", SERVER], stdout=-1)
    server.stdout.readline()
    mss = int(lab.hosts["client"].run([sys.executable, "-c", CLIENT]).stdout)
    server.wait()
    return mss
parameters = {"middleboxes": "[{kind: mss-clamp, mss: 1000}]", "boxed": "1", "rate": "none"}
with Lab(load_topology("two-paths", parameters)) as lab:
    say(mss_of_a_connection())
    say(lab.link_counters()["path1"]["middlebox 1 (mss-clamp)"])
    lab.set_middleboxes("path1", [])
    say(mss_of_a_connection())
    try:
        lab.set_middleboxes("path2", [{"kind": "nat"}])
    except LabError as error:
        say(error.message)
        """
    )
    assert (with_mss, without) == (1000 - 12, 1460 - 12)  # timestamps are in every segment
    assert counters["changed"] >= 2
    assert counters["seen"] > counters["changed"]
    assert refused.startswith("link path2: has no place for middleboxes")
