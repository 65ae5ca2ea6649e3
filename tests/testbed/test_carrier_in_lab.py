"""A carrier that a link's schedule takes and gives back under a transfer, as both stacks see it."""

import pytest

from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.kernel]

CODE = """
import pathlib
from testbed import stacks
from testbed.spec.schedule import Change
from testbed.stacks import measure
topology = load_topology("two-paths", {"rate": "8 Mbit/s", "delay": "5 ms", "queue": "40 kB"})
first, second = topology.links
steps = [{"at": "2500 ms", "state": "down", "carrier": "client"}, {"at": "3500 ms", "state": "up"}]
second = second.model_copy(update={"schedule": tuple(map(Change.model_validate, steps))})
with Lab(topology.model_copy(update={"links": (first, second)})) as lab:
    for name in ("python-mptcp", "kernel-mptcp"):
        stack, seen = stacks.create(name), []
        stack.prepare(lab)
        here = pathlib.Path(sys.argv[1], name)
        here.mkdir()
        def look(share):
            seen.append(lab.hosts["client"].run(["cat", "/sys/class/net/client-eth2/carrier"]).stdout.strip())
        load = measure.BulkLoad("download", limit_seconds=3.5, check="sha256")
        measured = measure.bulk(lab, stack, load, here, progress=look)
        report = measured.stacks["client"]
        say([measured.problems, seen, (report or {}).get("counters", {})])
"""


def test_a_scheduled_loss_of_the_carrier_is_seen_and_survived(tmp_path):
    ours, kernels = run_inside(CODE, str(tmp_path))
    for problems, seen, _ in (ours, kernels):
        assert problems == []
        changes = [state for number, state in enumerate(seen) if not number or seen[number - 1] != state]
        assert changes == ["1", "0", "1"]
    counters = ours[2]
    assert counters["MPTcpExtRmAddrTx"] == 1, "our runtime was told, and told the peer"
    assert counters["MPTcpExtMPJoinSynTx"] == 2, "and joined again"
