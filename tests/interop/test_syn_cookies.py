"""SYN cookies between our stack and the kernel's: every handshake goes through one, and MPTCP is whole."""

import json
import subprocess
import sys

import pytest

from testbed.stacks.mptcp_diagnosis import FALLBACKS
from tests.interop.mixed import KERNEL, PYTHON, Transfer, runs
from tests.testbed.lab_run import ROOT

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BYTES = 8 << 20
COOKIES = f"{PYTHON}+syn_cookies=always"

BODY = f"""
    hosts["server"].run(["sysctl", "-qw", "net.ipv4.tcp_syncookies=2"])
    for client, server in {[(KERNEL, COOKIES), (PYTHON, KERNEL), (PYTHON, COOKIES)]}:
        transfer(f"{{client}} {{server}}", client, server, "download", {BYTES})
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Transfer]:
    return runs(tmp_path_factory.mktemp("cookies"), "two-paths", {"rate": "70 Mbit/s", "queue": "500 kB"}, BODY)


@pytest.mark.parametrize(("client", "server"), [(KERNEL, COOKIES), (PYTHON, KERNEL), (PYTHON, COOKIES)])
def test_mptcp_is_whole(measured, client, server):
    transfer = measured[f"{client} {server}"]
    transfer.check_content(BYTES)
    assert transfer.server["TcpExtSyncookiesRecv"] >= 1
    for fallback in FALLBACKS:
        assert transfer.count(fallback.counter) == (0, 0)
    assert transfer.count("MPJoinAckRx")[1] == 1
    assert min(transfer.shares("server")) > 0.05


def test_a_flood_keeps_nobody_out(tmp_path):
    """The whole of the experiment at one point: flooder, made-up addresses that nobody answers for, checks."""
    chosen = ["--stacks", "python-mptcp", "--set", "floods=1500", "--set", "seconds=1", "--set", "timeout_s=20"]
    chosen += ["--set", "repetitions=1"]
    argv = [sys.executable, "-m", "testbed", "run", "syn-flood", *chosen, "--out", str(tmp_path), "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    (point,) = json.loads(done.stdout)["points"]
    assert point["outcome"] == "passed", point["why"]
    assert point["cookies_sent"] > 100
    assert point["mptcp_connections"] >= point["succeeded"] == point["requests"] == 100
    assert 1000 <= point["half_open_peak"] <= 1100
