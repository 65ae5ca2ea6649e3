"""Counters count what Linux's of the same name count (docs/counters.md says where they differ)."""

import re
from collections import Counter
from pathlib import Path

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import SYN, AddAddr, MpCapable, MpJoinAck, MpJoinSyn, MpJoinSynAck, Segment
from tests.sim.attacks.hostile import connected, forge, strike, victim_of
from tests.sim.scenes import (
    PATH,
    PORT,
    SERVER,
    UPLOAD,
    Scene,
    client_ip,
    exchange,
    impaired,
    losing,
    make_scene,
    rewrite,
    server_ip,
    without_mptcp,
)

ROOT = Path(__file__).parents[2]
COUNTER = re.compile(r'"((?:MPTcpExt|TcpExt|Tcp|IpExt|Ip6?|Icmp6?)[A-Z]\w+)"')
MADE = {
    "Icmp": ("InMsgs", "InErrors"),
    "Ip": ("InAddrErrors", "InUnknownProtos", "ReasmFails", "ReasmTimeout", "ReasmReqds", "ReasmOKs"),
}


def counted(run: Scene, host: str) -> Counter[str]:
    """Of a host, MPTcpExt left out."""
    return Counter({name.removeprefix("MPTcpExt"): n for name, n in run.network.hosts[host].stack.counters.items()})


def test_every_counter_is_in_the_document() -> None:
    """And none that is not counted any more is said to be."""
    text = "\n".join(path.read_text() for path in (ROOT / "mptcp_stack").rglob("*.py"))
    classes = {"TcpConfig", "IcmpError"}
    used = set(COUNTER.findall(text)) - classes
    table = (ROOT / "docs" / "counters.md").read_text().split("## Not counted")[0]
    documented = set(re.findall(r"`((?:MPTcpExt|TcpExt|Tcp|IpExt|Ip6?|Icmp6?)[A-Z]\w+)`", table))
    made = {  # of two halves, for each IP version
        f"{kind}{family}{name}" for kind, names in MADE.items() for name in names for family in ("", "6")
    }
    assert used - documented == set()
    assert documented - used - made == set()


# --- addresses


def test_removed_subflows_are_those_of_our_own_address() -> None:
    run = connected(2)
    victim_of(run.server).withdraw(server_ip(2), run.network.clock.now_ns)
    run.server.settle()
    run.network.run_for(SECOND)
    assert (counted(run, "server")["RmSubflow"], counted(run, "server")["RmAddrTx"]) == (1, 1)
    assert (counted(run, "client")["RmSubflow"], counted(run, "client")["RmAddr"]) == (0, 1)


def test_an_order_to_close_removes_a_subflow() -> None:
    run = make_scene(1, [PATH, PATH], path_manager="userspace")
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Source(pattern(200_000)))
    run.network.run_for(100 * MILLISECOND)
    manager = victim_of(run.client).path_manager
    subflow = manager.open_subflow(client_ip(2), 0, Address(server_ip(2), PORT), run.network.clock.now_ns)
    run.client.settle()
    run.network.run_for(100 * MILLISECOND)
    manager.close_subflow(subflow, run.network.clock.now_ns)
    assert counted(run, "client")["RmSubflow"] == 1


def test_echoes_with_a_port_count_as_linux_counts_them() -> None:
    run = connected(1)
    strike(run, run.client, forge(victim_of(run.client).subflows[0], b"", AddAddr(4, server_ip(2), 81, echo=True)))
    assert (counted(run, "client")["PortAdd"], counted(run, "client")["EchoAdd"]) == (1, 1)
    assert counted(run, "client")["AddAddr"] == 0


def test_an_address_beyond_the_limit_is_echoed_and_not_dropped() -> None:
    run = make_scene(1, [PATH, PATH], client={"max_addresses_accepted": 0})
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Application())
    run.network.run_for(300 * MILLISECOND)
    client = counted(run, "client")
    assert (client["AddAddr"], client["EchoAddTx"], client["AddAddrDrop"], client["MPJoinSynTx"]) == (1, 1, 0, 0)


# --- joins


def joined(change: type, what: str) -> Scene:
    """A join in one of whose packets the HMAC is wrong, or the option is missing."""

    def middlebox(segment: Segment) -> bool:
        for option in segment.options.mptcp:
            if isinstance(option, change) and what == "wrong":
                option.hmac = bytes(len(option.hmac))
            elif isinstance(option, change):
                segment.options.mptcp = ()
        return True

    run = make_scene(1, [PATH, PATH], middlebox=[None, rewrite(middlebox)], join_retries=0)
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Application())
    run.network.run_for(SECOND)
    return run


def test_a_join_counts_at_its_syn_whatever_its_token() -> None:
    run = connected(1)
    for token in (0, victim_of(run.server).local_key.token):
        syn = Segment(client_ip(1), server_ip(1), 5000 + token % 2, PORT, flags=SYN, window=1000)
        syn.options.mptcp = (MpJoinSyn(True, 3, token, bytes(4)),)
        strike(run, run.server, syn)
    server = counted(run, "server")
    assert (server["MPJoinSynRx"], server["MPJoinSynBackupRx"], server["MPJoinNoTokenFound"]) == (2, 2, 1)


@pytest.mark.parametrize(("what", "failures"), [("wrong", 1), ("missing", 0)])
def test_an_answer_to_a_join_counts_if_it_is_good(what: str, failures: int) -> None:
    client = counted(joined(MpJoinSynAck, what), "client")
    assert (client["MPJoinSynAckRx"], client["MPJoinSynAckHMacFailure"]) == (0, failures)


@pytest.mark.parametrize(("what", "failures"), [("wrong", 1), ("missing", 0)])
def test_a_third_ack_fails_only_with_a_wrong_hmac(what: str, failures: int) -> None:
    server = counted(joined(MpJoinAck, what), "server")
    assert server["MPJoinAckRx"] == 0
    assert min(server["MPJoinAckHMacFailure"], 1) == failures


# --- going back to TCP


def test_names_of_ways_back_to_tcp() -> None:
    """SYNs that were lost, no DSS on the first data, none on later ones."""

    def run(change: object, **settings: int) -> Counter[str]:
        scene = make_scene(1, [PATH], middlebox=change, **settings)
        exchange(scene, UPLOAD[:30_000], b"x")
        both = counted(scene, "client") + counted(scene, "server")
        return Counter({name: n for name, n in both.items() if "Fallback" in name or "Drop" in name})

    def blocks_syns(segment: Segment) -> bool:
        return not (segment.flags & SYN and any(isinstance(one, MpCapable) for one in segment.options.mptcp))

    def strips_data(segment: Segment) -> bool:
        segment.options.dss = None
        return True

    def strips_later(segment: Segment) -> bool:
        nonlocal seen
        seen += bool(segment.length)
        if seen > 12:
            without_mptcp(segment)
        return True

    seen = 0
    assert run(rewrite(blocks_syns), mptcp_syn_attempts=2) == {"MPCapableSYNTXDrop": 1}
    assert set(run(rewrite(strips_data))) == {"MPCapableDataFallback"}
    assert set(run(rewrite(strips_later))) == {"DssFallback"}


# --- segments


def test_segments_sent_are_packets_and_none_twice() -> None:
    """Super-segments count as the packets that they become; what is sent again counts elsewhere (RFC 4022)."""
    run = make_scene(1, [PATH], mptcp=False, middlebox=losing(20, 21, 30))
    exchange(run, UPLOAD, b"")
    client = run.client.stack.counters
    assert client["TcpRetransSegs"] >= 2
    assert client["TcpOutSegs"] + client["TcpRetransSegs"] == len(run.segments("client"))


def test_reinjections_are_retransmissions_of_mptcp() -> None:
    dies = impaired(blackouts=((300 * MILLISECOND, 100 * SECOND),))
    run = make_scene(1, [PATH, dies])
    server, client = Sink(), Source(pattern(1_000_000))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, 60 * SECOND)
    counters = counted(run, "client")
    assert counters["MPTCPRetrans"] == counters["Reinjections"] > 0


def test_only_what_takes_sequence_numbers_is_a_lost_delayed_ack() -> None:
    """Bare segments from before the window, keep-alives among them, are answered and not counted."""
    run = connected(1, mptcp=False)
    application = next(iter(run.client._applications.values()))
    application.write(bytes(100))
    run.client.settle()
    run.network.run_for(SECOND)
    subflow = victim_of(run.server).subflows[0]
    receiver = subflow.endpoint.receiver
    strike(run, run.server, forge(subflow, seq=receiver.next - 50))
    assert run.server.stack.counters["TcpExtDelayedACKLost"] == 0
    strike(run, run.server, forge(subflow, bytes(10), seq=receiver.next - 50))
    assert run.server.stack.counters["TcpExtDelayedACKLost"] == 1
