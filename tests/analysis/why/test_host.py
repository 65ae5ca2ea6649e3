"""What a host lacks for MPTCP, from what it says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.why.host import HostAddress, HostState, Way, look

FIRST, SECOND = HostAddress("10.0.1.1", "eth1", True), HostAddress("10.0.2.1", "eth2", True)
WELL = HostState(
    settings={"enabled": "1", "pm_type": "0"},
    addresses=[FIRST, SECOND],
    endpoints=[{"address": "10.0.2.1", "id": 1, "flags": ["subflow"], "dev": "eth2"}],
    limits={"subflows": 8, "add_addr_accepted": 8},
    ways=[Way("10.0.1.1", "10.0.9.1", "eth1", ""), Way("10.0.2.1", "10.0.9.1", "eth2", "")],
    counters={"MPJoinSynTx": 3, "MPJoinSynAckRx": 3, "AddAddr": 3},
    meanings={"MPCapableFallbackSYNACK": "the SYN/ACK had no MP_CAPABLE"},
)
ENDPOINT = WELL.endpoints[0]
WRONG = {
    "no MPTCP": (replace(WELL, settings=None), "this kernel has no MPTCP"),
    "off": (replace(WELL, settings={"enabled": "0"}), "sysctl -w net.mptcp.enabled=1"),
    "user space": (replace(WELL, settings={"enabled": "1", "pm_type": "1"}), "without a program that orders subflows"),
    "limit 0": (replace(WELL, limits={"subflows": 0, "add_addr_accepted": 8}), "ip mptcp limits set subflows 8"),
    "interface down": (replace(WELL, addresses=[FIRST, SECOND._replace(up=False)]), "ip link set eth2 up"),
    "one address": (replace(WELL, addresses=[SECOND], ways=[]), "a second subflow takes a second address here"),
    "no endpoint": (
        replace(WELL, endpoints=[], limits={"subflows": 2, "add_addr_accepted": 0}),
        "a client: ip mptcp endpoint add 10.0.2.1 dev eth2 subflow",
    ),
    "endpoint elsewhere": (replace(WELL, endpoints=[{**ENDPOINT, "address": "10.0.3.1"}]), "no address of this host"),
    "endpoint of another device": (
        replace(WELL, endpoints=[{**ENDPOINT, "dev": "eth1"}]), "make it anew with dev eth2",
    ),
    "wrong way": (
        replace(WELL, ways=[Way("10.0.2.1", "10.0.9.1", "eth1", "")]),
        "packets leave by eth1 in place of eth2; ip rule add from 10.0.2.1 table 100",
    ),
    "wrong way, strict": (
        replace(WELL, ways=[Way("10.0.2.1", "10.0.9.1", "eth1", "")], strict=["eth2"]),
        "eth2 drops what comes back (rp_filter 1)",
    ),
    "no way": (replace(WELL, ways=[Way("10.0.2.1", "10.0.9.1", "", "no route")]), "no route; ip route add 10.0.9.1"),
    "joins unanswered": (
        replace(WELL, counters={"MPJoinSynTx": 3}), "no SYN/ACK with MP_JOIN came: dropped or refused (3 times",
    ),
    "nobody asked": (
        replace(WELL, counters={"MPCapableSYNACKRX": 2}), "connections were opened (2), and no address was announced",
    ),
    "announced": (replace(WELL, counters={"AddAddr": 2}), "it asked to join none (2 times"),
    "fell back": (replace(WELL, counters={"MPCapableFallbackSYNACK": 1}), "the SYN/ACK had no MP_CAPABLE (1 times"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_remedy(name: str) -> None:
    host, words = WRONG[name]
    wrong = [str(line) for line in look(host) if not line.well]
    assert any(words in line for line in wrong), wrong
    assert len(wrong) == 1 or name == "interface down", wrong


def test_one_address_is_enough_where_the_peer_has_two() -> None:
    ways = [Way("10.0.2.1", peer, "eth2", "") for peer in ("10.0.9.1", "10.0.8.1")]
    assert [line for line in look(replace(WELL, addresses=[SECOND], ways=ways)) if not line.well] == []


def test_a_peer_of_one_address_of_each_ip_version_is_no_peer_of_two() -> None:
    ways = [Way("10.0.2.1", "10.0.9.1", "eth2", ""), Way("fd00::1", "fd00::9", "eth2", "")]
    addresses = [SECOND, HostAddress("fd00::1", "eth2", True)]
    wrong = [str(line) for line in look(replace(WELL, addresses=addresses, ways=ways)) if not line.well]
    assert any("a second subflow takes a second address here" in line for line in wrong)


def test_of_what_is_well_nothing_is_asked() -> None:
    assert [line for line in look(WELL) if not line.well or line.remedy] == []
