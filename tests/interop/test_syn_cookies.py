"""SYN cookies between our stack and the kernel's: every handshake goes through one, and MPTCP is whole."""

import pytest

from testbed.stacks.mptcp_diagnosis import FALLBACKS
from tests.interop.mixed import KERNEL, PYTHON, Transfer, runs

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
