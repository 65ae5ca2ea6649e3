"""Each cause of a missing subflow or a fallback, told from captures of both sides and of each alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scapy.utils import RawPcapReader

from analysis.why import Report, explain
from mptcp_stack.phy.pcap import PcapWriter
from mptcp_stack.sim import Middlebox
from mptcp_stack.wire import ACK, RST, SYN, AddAddr, MpCapable, Segment
from tests.analysis.why.scenes import Tapped
from tests.sim.scenes import PORT, rewrite, without_mptcp

Change = Callable[[Segment], bool]


def strip(segment: Segment) -> bool:
    without_mptcp(segment)
    return True


def only(wanted: Callable[[Segment], bool], change: Change) -> Middlebox:
    """A middlebox that changes what is `wanted` and lets pass the rest."""
    return rewrite(lambda segment: change(segment) if wanted(segment) else True)


def is_syn(segment: Segment) -> bool:
    return segment.flags & (SYN | ACK) == SYN


def is_answer(segment: Segment) -> bool:
    return segment.flags & (SYN | ACK) == SYN | ACK


def drop(segment: Segment) -> bool:
    return False


def carries(kind: type) -> Callable[[Segment], bool]:
    return lambda segment: any(isinstance(option, kind) for option in segment.options.mptcp)


def with_other_hmac(segment: Segment) -> bool:
    segment.options.mptcp = tuple(
        replace(option, hmac=bytes(len(option.hmac))) if getattr(option, "hmac", b"") else option
        for option in segment.options.mptcp
    )
    return True


def elsewhere(segment: Segment) -> bool:
    segment.options.mptcp = tuple(
        replace(option, address=bytes((192, 0, 2, 1))) if isinstance(option, AddAddr) else option
        for option in segment.options.mptcp
    )
    return True


def without_announcement(segment: Segment) -> bool:
    segment.options.mptcp = tuple(one for one in segment.options.mptcp if not isinstance(one, AddAddr))
    return True


def once(wanted: Callable[[Segment], bool], change: Change, after: int = 0) -> Middlebox:
    """Changes one segment: the first that is `wanted` after so many of them."""
    count = 0

    def changes(segment: Segment) -> bool:
        nonlocal count
        count += wanted(segment)
        return change(segment) if wanted(segment) and count == after + 1 else True

    return rewrite(changes)


def into_reset(segment: Segment) -> bool:
    segment.flags = RST | ACK
    segment.payload, segment.length, segment.gso_size = [], 0, 0
    segment.options.dss = None
    return True


def damage(segment: Segment) -> bool:
    data = bytearray(b"".join(segment.payload))
    data[len(data) // 2] ^= 0xFF
    segment.payload = [memoryview(bytes(data))]
    return True


def has_data(segment: Segment) -> bool:
    return segment.length > 500


LONE = {"path_manager": "userspace"}
CASES: dict[str, tuple[Callable[[], dict[str, Any]], str, str, str]] = {
    # what stands between, what both sides together say, the client's alone, the server's alone
    "join stripped": (lambda: {"boxes": (None, rewrite(strip))}, "stripped", "stripped", "stripped"),
    "join stripped from the answer": (
        lambda: {"boxes": (None, only(is_answer, strip))}, "stripped", "stripped", "refused",
    ),
    "join SYN dropped": (lambda: {"boxes": (None, only(is_syn, drop))}, "dropped", "dropped", "announced, not joined"),
    "join answer dropped": (lambda: {"boxes": (None, only(is_answer, drop))}, "dropped", "dropped", "dropped"),
    "path dead": (lambda: {"boxes": (None, lambda _: [])}, "dropped", "dropped", "announced, not joined"),
    "limit at the server": (lambda: {"server": {"max_subflows": 1}}, "refused", "refused", "refused"),
    "limit at the client": (
        lambda: {"client": {"max_subflows": 1}},
        "announced, not joined", "announced, not joined", "announced, not joined",
    ),
    "announced of another IP version": (
        lambda: {"client": {"max_subflows": 1}, "versions": (4, 6)},
        "other ip version", "other ip version", "other ip version",
    ),
    "nobody asks": (lambda: dict(LONE), "never asked", "never asked", "never asked"),
    "HMAC of the answer wrong": (
        lambda: {"boxes": (None, only(is_answer, with_other_hmac))}, "hmac", "hmac", "refused",
    ),
    "HMAC of the third ACK wrong": (
        lambda: {"boxes": (None, only(lambda one: not one.flags & SYN, with_other_hmac))}, "hmac", "refused", "hmac",
    ),
    "announcement removed": (
        lambda: {"boxes": (rewrite(without_announcement), None)},
        "announcement lost", "never asked", "announced, not joined",
    ),
    "announced address changed": (
        lambda: {"boxes": (only(carries(AddAddr), elsewhere), None)}, "hmac", "hmac", "announced, not joined",
    ),
    "subflow reset on the way": (
        lambda: {"boxes": (None, once(has_data, into_reset, 20))}, "reset on the way", "reset", "reset",
    ),
    "SYN stripped": (lambda: {"boxes": (only(is_syn, strip), None)}, "stripped", "no mptcp", "not asked"),
    "SYN/ACK stripped": (lambda: {"boxes": (only(is_answer, strip), None)}, "stripped", "no mptcp", "stripped"),
    "no MPTCP at the server": (lambda: {"server": {"mptcp": False}}, "no mptcp", "no mptcp", "no mptcp"),
    "no MPTCP at the client": (lambda: {"client": {"mptcp": False}}, "not asked", "not asked", "not asked"),
    "SYNs with MP_CAPABLE dropped": (
        lambda: {"boxes": (only(lambda one: is_syn(one) and carries(MpCapable)(one), drop), None)},
        "dropped", "dropped", "not asked",
    ),
    "all but SYNs stripped": (
        lambda: {"boxes": (only(lambda one: not one.flags & SYN, strip), None)}, "stripped", "stripped", "stripped",
    ),
    "data damaged, alone": (
        lambda: {"boxes": (once(has_data, damage, 5), None), "dss_checksum": True, **LONE},
        "checksum failed", "checksum failed", "checksum failed",
    ),
    "data damaged beside another": (
        lambda: {"boxes": (None, once(has_data, damage, 5)), "dss_checksum": True},
        "checksum failed", "checksum failed", "checksum failed",
    ),
}  # fmt: skip


def causes(report: Report) -> list[str]:
    found = [finding for one in report.connections for finding in one.findings] + report.others
    return [finding.cause for finding in found if finding.failure]


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_told(name: str, tmp_path: Path) -> None:
    settings, *expected = CASES[name]
    run = Tapped(**settings())
    client, server = (run.capture(side, tmp_path) for side in ("client", "server"))
    for files, cause in zip(([client, server], [client], [server]), expected, strict=True):
        report = explain(files)
        assert causes(report)[:1] == [cause], (name, [file.name for file in files], report)


@pytest.mark.parametrize("name", ["join stripped", "path dead", "limit at the server", "subflow reset on the way"])
@pytest.mark.parametrize("ahead_s", [-5000, 5000])
def test_clocks_of_two_hosts_may_differ(name: str, ahead_s: int, tmp_path: Path) -> None:
    settings, cause, *_ = CASES[name]
    run = Tapped(**settings(), server_ahead_s=ahead_s)
    report = explain([run.capture(side, tmp_path) for side in ("client", "server")])
    assert causes(report)[:1] == [cause], report


def moved(by: int) -> Middlebox:
    """A middlebox that moves the numbers of the server, there and back."""

    def move(segment: Segment) -> bool:
        if segment.sport == PORT:
            segment.seq = (segment.seq + by) % 2**32
        else:
            segment.ack = (segment.ack - by) % 2**32 if segment.flags & ACK else segment.ack
            segment.options.sack = tuple(((a - by) % 2**32, (b - by) % 2**32) for a, b in segment.options.sack)
        return True

    return rewrite(move)


def translated(segment: Segment) -> bool:
    """Ports as a NAT changes them: all of the client's that are odd become even, and back."""
    segment.sport, segment.dport = (port if port == PORT else port ^ 1 for port in (segment.sport, segment.dport))
    return True


@pytest.mark.parametrize("box", [moved(12345), rewrite(translated)], ids=["numbers", "ports"])
def test_what_is_changed_on_the_way_is_still_the_same_connection(box: Middlebox, tmp_path: Path) -> None:
    run = Tapped((box, box))
    (one,) = explain([run.capture(side, tmp_path) for side in ("client", "server")]).connections
    assert (len(one.subflows), one.findings) == (2, [])


def test_a_reset_whose_numbers_are_moved_on_the_way_is_still_its_senders(tmp_path: Path) -> None:
    """A subflow that the server ends, and not somebody between."""
    box = moved(12345)
    run = Tapped((box, box), seconds=0.2)
    (connection,) = run.scene.server.stack.connections
    connection.subflows[1].endpoint.abort(run.scene.network.clock.now_ns)
    run.scene.server.settle()
    run.scene.network.run_for(300_000_000)
    report = explain([run.capture(side, tmp_path) for side in ("client", "server")])
    assert causes(report)[:1] == ["reset"], report


HEALTHY: dict[str, dict[str, Any]] = {
    "usual": {},
    "version 0": {"mptcp_version": 0, "mptcp_minimum_version": 0},
    "checksums": {"dss_checksum": True},
    "32 bits": {"dsn_bits": 32},
    "round robin": {"scheduler": "round-robin"},
    "redundant": {"scheduler": "redundant"},
    "closed while it sends": {"seconds": 0.2},
    "super-segments": {"coalesce_ns": 2_000_000},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_of_what_is_well_nothing_is_told(name: str, tmp_path: Path) -> None:
    run = Tapped(**HEALTHY[name])
    client, server = (run.capture(side, tmp_path) for side in ("client", "server"))
    for files in ([client, server], [client], [server], [server, client]):
        report = explain(files)
        (one,) = report.connections
        assert [str(finding) for finding in one.findings] == [], (name, files)
        assert len(one.subflows) == 2


@pytest.mark.parametrize("seed", range(8))
def test_captures_with_holes_and_damage_are_explained_somehow(seed: int, tmp_path: Path) -> None:
    """Whatever is missing or wrong: no rule may rest on a packet that need not be there."""
    dice = Random(seed)
    run = Tapped((None, rewrite(strip)) if seed % 2 else (None, None), seconds=2)
    files = [run.capture(side, tmp_path) for side in ("client", "server")]
    for file in files:
        with RawPcapReader(str(file)) as reader:
            packets = [packet for packet, _ in reader]
        with PcapWriter(file) as capture:
            for place, packet in enumerate(packets):
                damaged = bytearray(packet)
                if dice.random() < 0.1:
                    damaged[dice.randrange(20, len(damaged))] ^= 1 << dice.randrange(8)
                if dice.random() < 0.7:
                    capture.write(place * 1_000_000, bytes(damaged))
    for some in (files, files[:1], files[1:]):
        for one in explain(some).connections:
            assert all(str(finding) for finding in one.findings)


KERNEL = Path(__file__).parents[1] / "data" / "collected" / "kernel-mptcp" / "collected"


@pytest.mark.parametrize(
    ("pattern", "subflows", "causes_told"),
    [
        ("*", 2, ["not used"]),
        ("*client*", 2, ["not used"]),
        ("*eth1*", 1, ["announced, not joined"]),  # as the other interface is not there
        ("*eth2*", 1, []),
    ],
)
def test_the_kernels_packets_of_some_interfaces(pattern: str, subflows: int, causes_told: list[str]) -> None:
    """A transfer so short that the second subflow, which was up, carried nothing."""
    (one,) = explain(sorted(KERNEL.glob(f"pcap-{pattern}.pcap0"))).connections
    assert len(one.subflows) == subflows
    assert [finding.cause for finding in one.findings] == causes_told


def test_a_subflow_of_an_interface_that_was_not_captured_is_missed_by_its_data() -> None:
    captures = Path(__file__).parents[1] / "data" / "captures"
    (one,) = explain([captures / "kernel-server-eth1.pcap"]).connections
    (finding,) = one.findings
    assert "20277 bytes of the server arrived and are in none of the captures" in finding.why
    assert not finding.failure
    (both,) = explain(sorted(captures.glob("*.pcap"))).connections
    assert (len(both.subflows), both.findings) == (2, [])
