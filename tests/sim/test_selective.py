"""Selective acknowledgements: said beside data, and not believed for ever."""

import pytest

from mptcp_stack.congestion.reno import Reno
from mptcp_stack.sim import MILLISECOND, SECOND, Application, LinkSpec, Sink, Source, pattern
from mptcp_stack.storage import NEVER
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.recovery import Recovery
from mptcp_stack.tcp.rtt import RttEstimator
from mptcp_stack.tcp.scoreboard import Delivery, Record, Scoreboard
from mptcp_stack.wire import ACK, FIN, RST, Packet, Segment, complete, decode, encode
from tests.sim.scenes import PORT, SERVER, endpoint_of, forge, idle_scene, make_scene, rewrite

FAST = LinkSpec(rate_bps=100_000_000, delay_ns=10 * MILLISECOND, queue_bytes=1_000_000)


def test_a_hole_is_reported_although_there_are_data_to_send() -> None:
    """Data leave no room for SACK blocks: a segment of its own has to carry them in the same turn."""
    run = make_scene(1, [FAST], mptcp=False)
    run.server.listen(Address(b"", PORT), Application)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(200 * MILLISECOND)
    endpoint = client.connection.subflows[0].endpoint
    forged = Segment(endpoint.remote.ip, endpoint.local.ip, PORT, endpoint.local.port, flags=ACK, window=1000)
    forged.seq = (endpoint.receiver.next + 100) % 2**32
    forged.ack = endpoint.sender.scoreboard.next % 2**32
    forged.options.ts_val = run.segments("server")[-1][1].options.ts_val
    forged.payload, forged.length = [memoryview(bytes(50))], 50
    client.connection.send(b"data of our own")
    run.client.stack.receive([Packet([complete(encode(forged))])], run.network.clock.now_ns)
    sent = [decode(Packet([complete(one)])) for one in run.client.stack.transmit(run.network.clock.now_ns)]
    assert sum(segment.length for segment in sent) == 15
    hole = (forged.seq, (forged.seq + 50) % 2**32)
    assert [segment.options.sack for segment in sent if segment.options.sack] == [(hole,)]


def test_a_receiver_that_takes_back_what_it_selected() -> None:
    """RFC 2018 section 8: after a timeout the first segment is sent again, selected or not."""
    scoreboard = Scoreboard(0)
    for seq in (0, 100, 200):
        scoreboard.append(Record(seq, seq + 100, [memoryview(bytes(100))], 100, 0, None))
    scoreboard.select([(0, 100), (200, 300)], [])
    scoreboard.mark_all_lost()
    assert [record.delivery for record in scoreboard] == [Delivery.LOST] * 3
    assert scoreboard.next_lost() is scoreboard.first
    assert not len(scoreboard.sacked)


def test_what_stays_selected_is_not_sent_again_after_a_timeout() -> None:
    scoreboard = Scoreboard(0)
    for seq in (0, 100):
        scoreboard.append(Record(seq, seq + 100, [memoryview(bytes(100))], 100, 0, None))
    scoreboard.select([(100, 200)], [])
    scoreboard.mark_all_lost()
    assert [record.delivery for record in scoreboard] == [Delivery.LOST, Delivery.SACKED]


def test_blocks_of_one_acknowledgement_are_in_no_order() -> None:
    """The last block comes first (RFC 2018); when acknowledgements were lost, that is not a network that reorders."""
    scoreboard, rtt = Scoreboard(0), RttEstimator()
    recovery = Recovery(scoreboard, rtt, Reno(100, []))
    recovery.uses_sack = True
    rtt.sample(20 * MILLISECOND)
    for seq in range(0, 600, 100):
        scoreboard.append(Record(seq, seq + 100, [memoryview(bytes(100))], 100, 0, None))
    for blocks in [(300, 400), (100, 200)], [(500, 600)]:
        delivered: list[Record] = []
        scoreboard.select(blocks, delivered)
        recovery.on_delivered(delivered, 20 * MILLISECOND)
    assert recovery.detect(20 * MILLISECOND) == NEVER, "three segments beyond the hole: no patience"
    assert [record.seq for record in scoreboard if record.delivery is Delivery.LOST] == [0, 200, 400]


@pytest.mark.parametrize("send_buffer_bytes", [3000, 20_000])
def test_room_and_a_reset_in_one_batch(send_buffer_bytes: int) -> None:
    """Writable may be waiting when the connection is reset: the application is told, and nothing is raised."""
    run = make_scene(1, [FAST], mptcp=False, send_buffer_bytes=send_buffer_bytes)
    servers: list[Application] = []

    def accept() -> Application:
        servers.append(Application())
        return servers[-1]

    run.server.listen(Address(b"", PORT), accept)
    client = Source(pattern(100_000))
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: bool(servers and servers[0].received), SECOND)
    endpoint = client.connection.subflows[0].endpoint
    last = run.segments("server")[-1][1]
    batch = []
    for flags in (ACK, RST):
        forged = Segment(endpoint.remote.ip, endpoint.local.ip, PORT, endpoint.local.port, flags=flags, window=1000)
        forged.seq, forged.ack = endpoint.receiver.next % 2**32, endpoint.sender.scoreboard.next % 2**32
        forged.options.ts_val = last.options.ts_val
        batch.append(Packet([complete(encode(forged))]))
    run.client.stack.receive(batch, run.network.clock.now_ns)
    run.client.settle()
    assert client.closed
    assert isinstance(client.error, ConnectionResetError)


def test_a_fin_before_its_turn_is_selected() -> None:
    """It has a sequence number, too (RFC 9293 section 3.4)."""
    run = idle_scene()
    at = endpoint_of(run.server).receiver.next

    def reported(offset: int, **fields: int) -> list[tuple[int, int]]:
        (answer,) = forge(run, run.server, seq=at + offset, **fields)
        return [tuple((number - at) % 2**32 for number in block) for block in answer.options.sack]

    assert reported(1000, flags=FIN | ACK) == [(1000, 1001)]
    assert reported(300, length=100) == [(300, 400), (1000, 1001)]
    assert reported(800, length=200) == [(800, 1001), (300, 400)]
    assert reported(1000, flags=FIN | ACK) == [(800, 1001), (300, 400)]
    assert reported(500, length=100) == [(500, 600), (800, 1001), (300, 400)]


@pytest.mark.parametrize("fin_too", [False, True])
def test_a_lost_end_is_repaired_without_a_timeout(fin_too: bool) -> None:
    """By what the FIN, or the tail loss probe that repeats it, says of what is missing before it."""
    lost: set[int] = set()

    def loses(segment: Segment) -> bool:
        tail = (segment.length and len(seen) > 5) or (fin_too and segment.flags & FIN)
        if segment.length:
            seen.add(segment.seq)
        if not tail or segment.seq in lost or segment.sport == PORT:
            return True
        lost.add(segment.seq)
        return False

    seen: set[int] = set()
    run = make_scene(1, [FAST], mptcp=False, middlebox=rewrite(loses))
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(pattern(10 * 1448))
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, 2 * SECOND)
    assert len(lost) == 4 + fin_too
    assert not run.client.stack.counters["TcpExtTCPTimeouts"]
    assert run.client.stack.counters["TcpRetransSegs"] <= len(lost) + 1
