"""Our MPTCP and the kernel's through a router: peers without MPTCP, and middleboxes that remove its options."""

from typing import NamedTuple

import pytest

from tests.interop.mixed import KERNEL, PYTHON, ROLES, Transfer, runs

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BYTES = 2_000_000


class Middlebox(NamedTuple):
    """A rule of the router, and which side notices by which counter; `ways` are the directions worth trying."""

    rule: str
    seen_by_client: str = ""
    seen_by_server: str = ""
    ways: tuple[str, ...] = ("upload",)


FROM_CLIENT, FROM_SERVER = 'iifname "router-eth1"', 'iifname "router-eth3"'
SYN, SYN_ACK, OTHERS = (f"tcp flags & (syn|ack) == {flags}" for flags in ("syn", "syn|ack", "ack"))
STRIP = "reset tcp option mptcp"
NO_SYN_ACK, NO_THIRD_ACK, NO_DSS = "MPCapableFallbackSYNACK", "MPCapableFallbackACK", "MPCapableDataFallback"
MIDDLEBOXES = {
    "everywhere": Middlebox(STRIP, seen_by_client=NO_SYN_ACK),
    "SYN": Middlebox(f"{FROM_CLIENT} {SYN} {STRIP}", seen_by_client=NO_SYN_ACK),
    "SYN-ACK": Middlebox(f"{FROM_SERVER} {SYN_ACK} {STRIP}", seen_by_client=NO_SYN_ACK, seen_by_server=NO_THIRD_ACK),
    # MP_CAPABLE is on the third ACK and on the first data: both tell that the client speaks MPTCP.
    "third ACK": Middlebox(
        f"{FROM_CLIENT} {OTHERS} tcp option mptcp subtype 0 {STRIP}",
        seen_by_client=NO_DSS,
        seen_by_server=NO_THIRD_ACK,
        ways=("upload", "download"),
    ),
    "all but SYN": Middlebox(f"{OTHERS} {STRIP}", NO_DSS, NO_THIRD_ACK, ways=("upload", "download")),
}
RULES = {kind: middlebox.rule for kind, middlebox in MIDDLEBOXES.items()}
CASES = [
    (kind, client, server, way)
    for kind, middlebox in MIDDLEBOXES.items()
    for client, server in ROLES
    for way in middlebox.ways
]
PLAIN = [(PYTHON, "kernel-tcp"), ("kernel-tcp", PYTHON), ("python-tcp", KERNEL), (KERNEL, "python-tcp")]

BODY = f"""
    for client, server in {PLAIN}:
        transfer(f"plain {{client}} {{server}}", client, server, "upload", {BYTES})
    nft = lambda *commands: hosts["router"].run(["nft", "-f", "-"], input=chr(10).join(commands) + chr(10))
    nft("add table ip middlebox", "add chain ip middlebox way {{ type filter hook forward priority 0; }}")
    rules = {RULES}
    for kind, client, server, way in {CASES}:
        nft("flush chain ip middlebox way", "add rule ip middlebox way " + rules[kind])
        transfer(f"{{client}} {{way}} {{kind}}", client, server, way, {BYTES})
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, Transfer]:
    parameters = {"rate": "100 Mbit/s", "queue": "500 kB"}
    return runs(tmp_path_factory.mktemp("routed"), "two-paths-routed", parameters, BODY)


@pytest.mark.parametrize(("client", "server"), PLAIN)
def test_peer_without_mptcp(measured, client, server):
    transfer = measured[f"plain {client} {server}"]
    transfer.check_content(BYTES)
    assert not transfer.is_mptcp
    asked = client in (KERNEL, PYTHON)
    assert transfer.count("MPCapableSYNTX")[0] == asked
    assert transfer.count(NO_SYN_ACK)[0] == asked
    assert transfer.count("MPJoinSynTx") == (0, 0)


@pytest.mark.parametrize(("kind", "client", "server", "way"), CASES)
def test_removed_options(measured, kind, client, server, way):
    transfer = measured[f"{client} {way} {kind}"]
    transfer.check_content(BYTES)
    assert not transfer.is_mptcp
    middlebox = MIDDLEBOXES[kind]
    for counter in (NO_SYN_ACK, NO_THIRD_ACK, NO_DSS):
        seen = (middlebox.seen_by_client == counter, middlebox.seen_by_server == counter)
        assert transfer.count(counter) == seen, counter
