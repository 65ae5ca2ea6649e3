"""Our MPTCP and the kernel's through a router to narrow networks: packets that it cuts, for either side to join."""

import pytest

from tests.interop.mixed import KERNEL, PYTHON, Transfer, runs

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BYTES = 300_000

BODY = f"""
    def narrow(mtu):
        for route in hosts["router"].run(["ip", "-4", "route", "show"]).stdout.splitlines():
            hosts["router"].run(["ip", "route", "replace", *route.split(), "mtu", "lock", str(mtu)])
    narrow(1000)
    hosts["server"].run(["sysctl", "-qw", "net.ipv4.ip_no_pmtu_disc=1"])
    transfer("to us", "{PYTHON}", "{KERNEL}", "download", {BYTES})
    narrow(500)
    transfer("from us", "{PYTHON}", "{KERNEL}", "upload", {BYTES})
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Transfer]:
    return runs(tmp_path_factory.mktemp("narrow"), "two-paths-routed", {"rate": "none"}, BODY)


def test_what_the_kernel_lets_be_cut_is_put_together(measured):
    transfer = measured["to us"]
    transfer.check_content(BYTES)
    assert transfer.client["IpReasmOKs"] >= BYTES // 1500
    assert "IpReasmFails" not in transfer.client
    assert transfer.count("MPCapableFallbackACK") == transfer.count("MPCapableDataFallback") == (0, 0)


def test_below_552_bytes_we_let_it_be_cut_too(measured):
    transfer = measured["from us"]
    transfer.check_content(BYTES)
    assert 0 < transfer.client["IcmpInMsgs"] < 20
    assert transfer.server["IpReasmOKs"] >= BYTES // 552
    assert transfer.result["duration_s"] < 5
