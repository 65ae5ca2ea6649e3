"""Our MPTCP and the kernel's through a router: a full mesh of subflows, and middleboxes that remove MPTCP's options."""

import pytest

from tests.interop.mixed import KERNEL, PYTHON, ROLES, Transfer, runs

pytestmark = [pytest.mark.root, pytest.mark.kernel]

MESH_BYTES = 16 << 20
BYTES = 2_000_000

# What the router removes. "original" packets go from the client to the server.
FROM_CLIENT, FROM_SERVER = 'iifname "router-eth1"', 'iifname "router-eth3"'
STRIP = "reset tcp option mptcp"
MIDDLEBOXES = {
    "everywhere": [f"tcp option mptcp exists {STRIP}"],
    "SYN": [f"{FROM_CLIENT} tcp flags & (syn|ack) == syn {STRIP}"],
    "SYN/ACK": [f"{FROM_SERVER} tcp flags & (syn|ack) == syn|ack {STRIP}"],
    # MP_CAPABLE is on the third ACK and on the first data: both are needed to hide that the client speaks MPTCP.
    "third ACK": [f"{FROM_CLIENT} tcp flags & (syn|ack) == ack tcp option mptcp subtype 0 {STRIP}"],
    "all but SYN": [f"tcp flags & (syn|ack) == ack {STRIP}"],
}
PLAIN = [(PYTHON, "kernel-tcp"), ("kernel-tcp", PYTHON), ("python-tcp", KERNEL), (KERNEL, "python-tcp")]

BODY = f"""
    for client, server in {ROLES}:
        transfer(f"mesh {{client}}", client, server, "download", {MESH_BYTES})
    for client, server in {PLAIN}:
        transfer(f"plain {{client}} {{server}}", client, server, "upload", {BYTES})
    for kind, rules in {MIDDLEBOXES}.items():
        chain = "; ".join(["type filter hook forward priority 0", *rules])
        hosts["router"].run(["nft", "-f", "-"], input="table ip middlebox {{ chain on_the_way {{ " + chain + "; }}\\n}}\\n")
        for client, server in {ROLES}:
            for direction in ("upload", "download"):
                label = " ".join([client, direction, kind.replace("/", "-")])
                transfer(label, client, server, direction, {BYTES})
        hosts["router"].run(["nft", "delete", "table", "ip", "middlebox"])
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Transfer]:
    parameters = {"rate": "100 Mbit/s", "queue": "500 kB"}
    return runs(tmp_path_factory.mktemp("routed"), "two-paths-routed", parameters, BODY)


def is_mptcp(transfer: Transfer) -> bool:
    """Whether it ended as MPTCP, by our stack where it tells."""
    if transfer.connection is not None:
        return transfer.connection["is_mptcp"]
    return transfer.count("MPCapableACKRX")[1] > 0


@pytest.mark.parametrize("client", [PYTHON, KERNEL])
def test_every_address_joins_every_other(measured, client):
    transfer = measured[f"mesh {client}"]
    transfer.check_content(MESH_BYTES)
    assert is_mptcp(transfer)
    assert transfer.count("MPJoinSynTx")[0] == transfer.count("MPJoinAckRx")[1] == 3
    for host in ("client", "server"):
        assert min(transfer.shares(host)) >= 0.3


@pytest.mark.parametrize(("client", "server"), PLAIN)
def test_peer_without_mptcp(measured, client, server):
    transfer = measured[f"plain {client} {server}"]
    transfer.check_content(BYTES)
    assert not is_mptcp(transfer)
    asked = client == KERNEL or client == PYTHON
    assert transfer.count("MPCapableSYNTX")[0] == asked
    assert transfer.count("MPCapableFallbackSYNACK")[0] == asked
    assert transfer.count("MPJoinSynTx") == (0, 0)


@pytest.mark.parametrize("direction", ["upload", "download"])
@pytest.mark.parametrize("client", [PYTHON, KERNEL])
@pytest.mark.parametrize("kind", MIDDLEBOXES)
def test_removed_options(measured, kind, client, direction):
    transfer = measured[f"{client} {direction} {kind.replace('/', '-')}"]
    transfer.check_content(BYTES)
    assert not is_mptcp(transfer)
