"""Our MPTCP and the Linux kernel's, in both roles: 64 MB each way over two equal paths, and a full mesh of subflows."""

import pytest

from testbed.stacks.mptcp_diagnosis import FALLBACKS
from tests.interop.mixed import KERNEL, PYTHON, ROLES, Transfer, runs

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.kernel]

BYTES, MESH_BYTES = 64 << 20, 16 << 20
RATE_BPS = 70e6
DIRECTIONS = ["download", "upload"]

BODY = f"""
    for client, server in {ROLES}:
        for direction in {DIRECTIONS}:
            transfer(f"{{client}} {{direction}}", client, server, direction, {BYTES})
"""
MESH = f"""
    for client, server in {ROLES}:
        transfer(client, client, server, "download", {MESH_BYTES})
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Transfer]:
    return runs(tmp_path_factory.mktemp("transfer"), "two-paths", {"rate": "70 Mbit/s", "queue": "500 kB"}, BODY)


@pytest.fixture(params=[f"{client} {direction}" for client, _ in ROLES for direction in DIRECTIONS])
def transfer(request, measured) -> Transfer:
    return measured[request.param]


def test_what_was_sent_arrives(transfer):
    transfer.check_content(BYTES)


def test_no_fallback_and_one_join(transfer):
    for fallback in FALLBACKS:
        assert transfer.count(fallback.counter) == (0, 0)
    client, server = range(2)
    for counter, side in {
        "MPCapableSYNTX": client,
        "MPCapableSYNRX": server,
        "MPCapableSYNACKRX": client,
        "MPCapableACKRX": server,
        "AddAddrTx": server,
        "AddAddr": client,
        "EchoAdd": server,
        "MPJoinSynTx": client,
        "MPJoinSynRx": server,
        "MPJoinSynAckRx": client,
        "MPJoinAckRx": server,
    }.items():
        assert transfer.count(counter)[side] == 1, counter


def test_both_paths_carry_it(transfer):
    for host in ("client", "server"):
        assert min(transfer.shares(host)) >= 0.35
    # More than one path alone could carry.
    assert transfer.result["throughput_bps"] > RATE_BPS


@pytest.fixture(scope="module")
def meshed(tmp_path_factory) -> dict[str, Transfer]:
    return runs(tmp_path_factory.mktemp("mesh"), "two-paths-routed", {"rate": "100 Mbit/s", "queue": "500 kB"}, MESH)


@pytest.mark.parametrize("client", [PYTHON, KERNEL])
def test_every_address_joins_every_other(meshed, client):
    transfer = meshed[client]
    transfer.check_content(MESH_BYTES)
    assert transfer.is_mptcp
    assert transfer.count("MPJoinSynTx")[0] == transfer.count("MPJoinAckRx")[1] == 3
    for host in ("client", "server"):
        assert min(transfer.shares(host)) >= 0.15
