"""Data that TCP has acknowledged and no DATA_ACK has (RFC 8684 sections 3.3.2 and 3.3.6)."""

import pytest

from mptcp_stack.mptcp.receiving import Receiving
from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source, pattern
from mptcp_stack.storage import Chunks
from mptcp_stack.tcp import Address
from tests.sim.scenes import PATH, PORT, SERVER, come_to_rest, impaired, make_scene

DATA = pattern(1_000_000)


class Asks(Source):
    """Writes once, and does not end its stream."""

    def on_connected(self) -> None:
        self.write(self.payload)


def test_the_data_ack_follows_an_announcement_that_leaves_no_room_for_it() -> None:
    scene = make_scene(1)
    scene.server.listen(Address(b"", PORT), Sink)
    client = Asks(DATA[:1000])
    scene.client.connect(SERVER, client)
    scene.network.run_for(SECOND)
    assert scene.server.stack.counters["MPTcpExtAddAddrTx"] == 1
    assert not scene.client.stack.counters["MPTcpExtMPTCPRetrans"]
    acks = [time_ns for time_ns, one in scene.segments("server") if one.options.dss is not None]
    assert acks[0] < 50 * MILLISECOND


@pytest.mark.pure("replaces a method of a class")
def test_data_lost_behind_tcp_go_over_their_own_subflow_when_no_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a receiver does that has no memory for them."""
    scene = make_scene(1, [PATH, impaired(delay_ns=30 * MILLISECOND)])
    sink = Sink()
    scene.server.listen(Address(b"", PORT), lambda: sink)
    client = Source(DATA)
    scene.client.connect(SERVER, client)
    scene.network.run_until(lambda: len(sink.received) > 200_000 and len(client.connection.subflows) == 2, 5 * SECOND)
    whole, lost = Receiving.insert, []

    def insert(self: Receiving, dsn: int, chunks: Chunks, length: int) -> bool:
        if self is sink.connection.receiving and len(lost) < 20:
            lost.append(dsn)
            return True
        return whole(self, dsn, chunks, length)

    monkeypatch.setattr(Receiving, "insert", insert)
    for link in scene.paths[0]:
        link.middlebox = lambda packet: []
    scene.network.run_until(lambda: client.closed, scene.network.clock.now_ns + 30 * SECOND)
    assert len(lost) == 20
    assert client.closed
    assert bytes(sink.received) == DATA
    come_to_rest(scene, 3000 * SECOND)
