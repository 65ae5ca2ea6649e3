"""Some cells of the table of `./lab interop`; the command plays all of them."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict

import pytest

from testbed.interop.capture import Frame
from testbed.interop.checks import Count
from testbed.interop.features import SCENARIOS
from testbed.interop.run import select
from tests.testbed.lab_run import ROOT

QUICK = ("mp-capable", "third-ack-lost", "stripped-ack", "mp-join", "add-addr")
FAMILIES = ("v4", "v4+v6")


def lab(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "testbed", "interop", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=170, **options)


@pytest.mark.root
@pytest.mark.kernel
def test_quick_cells(tmp_path):
    chosen = ["--features", ",".join(QUICK), "--family", ",".join(FAMILIES)]
    markdown = tmp_path / "table.md"
    done = lab(*chosen, "--out", str(tmp_path), "--markdown", str(markdown), "--json")
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert {cell["key"]: cell["why"] for cell in document["cells"] if cell["outcome"] != "passed"} == {}
    assert done.returncode == 0
    assert {cell["feature"] for cell in document["cells"]} == set(QUICK)
    table = markdown.read_text()
    assert os.uname().release in table
    assert re.search(r"^Measured \d{4}-\d\d-\d\d at \w+.* on \d+ x .*: `sudo \./lab interop", table, re.MULTILINE)
    assert table.count("| pass ") == len(document["cells"])
    for cell in document["cells"]:
        (directory,) = tmp_path.glob(f"interop/*/{cell['key']}")
        for file in ("capture.pcap", "evidence.json", "nstat.txt"):
            assert (directory / file).stat().st_size > 0, file


WRONG = {
    ("--features", "mp-jion"): "unknown feature 'mp-jion', did you mean mp-join? allowed: mp-capable, ",
    ("--family", "v5"): "unknown family 'v5'; allowed: v4, v6, v4+v6, v6+v4",
    ("--role", "router"): "unknown role 'router'; allowed: client, server",
    ("--features", "our-cookies", "--role", "client"): "none of these features is played in this role",
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.items(), ids=[" ".join(arguments) for arguments in WRONG])
def test_what_is_not_there_is_one_line(arguments, message, tmp_path):
    done = lab(*arguments, "--out", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_over_mixed_versions_all_are_joined_or_must_not_be():
    cells = select((), ("v4+v6", "v6+v4"), ())
    assert {cell.scenario.name for cell in cells} == set(SCENARIOS)
    for cell in cells:
        scenario = cell.scenario
        joins = {check.low for check in scenario.checks if isinstance(check, Count) and check.name == "MPJoinSynRx"}
        assert "signal" in scenario.second["server"]
        own = scenario.second.get("client", "fullmesh").split()
        assert "fullmesh" in own or "signal" in own  # Linux has no endpoint for both
        if scenario.lacking is None and not SCENARIOS[scenario.name].second:
            assert joins == {int(scenario.mptcp)}, scenario.name


CHECKSUMS = {
    "right": ("1", "", 0),
    "wrong": ("0", "Bad checksum [should be 0x1234]", 1),
    "0xffff for 0, as Linux writes it": ("0", "TCP Checksum 0xffff instead of 0x0000 (see RFC 1624)", 0),
}


@pytest.mark.parametrize(("status", "remark", "faults"), CHECKSUMS.values(), ids=CHECKSUMS)
def test_a_checksum_is_a_fault_when_it_is_wrong(status, remark, faults):
    fields = defaultdict(str, {"tcp.checksum.status": status, "_ws.expert.message": remark})
    fields["_ws.expert.severity"] = "6291456" if remark else ""
    for name in ("_ws.malformed", "ip.checksum.status"):
        fields[name] = ""
    assert len(Frame(1, fields, "client").faults(checksums=True)) == faults
