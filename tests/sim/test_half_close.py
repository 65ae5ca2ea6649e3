"""One direction that ends before the other: of the stream (DATA_FIN) and of subflows (FIN), RFC 8684 section 3.3.3."""

import pytest

from mptcp_stack.sim import SECOND, Application
from mptcp_stack.tcp import Address, State
from mptcp_stack.wire import MpCapable, Segment
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    SERVER,
    SYN,
    UPLOAD,
    Scene,
    check_received,
    come_to_rest,
    impaired,
    make_scene,
    rewrite,
)


class Patient(Application):
    """Reads; what else it does, the test says."""

    def on_eof(self) -> None:
        pass


def connect(run: Scene) -> tuple[Patient, Patient]:
    """Client and server, all subflows joined, with nothing under way."""
    client, server = Patient(), Patient()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_for(2 * SECOND)
    assert len(client.connection.subflows) == len(server.connection.subflows) == len(run.paths)
    return client, server


def close_subflows(run: Scene, application: Application) -> None:
    """Send FINs, as Linux does once its DATA_FIN was acknowledged."""
    for subflow in application.connection.subflows:
        subflow.endpoint.finish(run.network.clock.now_ns)
    application.host.settle()


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("first", ["client", "server"])
def test_all_arrives_at_a_peer_that_has_closed_its_half_of_every_subflow(
    first: str, paths: int, version: int, loss: float
) -> None:
    run = make_scene(5, [impaired(loss=loss)] * paths, mptcp_version=version, mptcp_minimum_version=0)
    client, server = connect(run)
    ending, other = (client, server) if first == "client" else (server, client)
    ending.write(UPLOAD)
    ending.finish(ending.connection.shutdown)
    other.write(DOWNLOAD)  # some of it is under way when the FINs come, some waits, some is written later
    run.client.settle()
    run.server.settle()
    run.network.run_until(lambda: ending.connection.sending.finished, 60 * SECOND)
    close_subflows(run, ending)
    run.network.run_until(lambda: other.eof, 60 * SECOND)
    run.network.run_for(10 * SECOND)
    other.write(DOWNLOAD)
    other.finish(other.connection.close)
    other.host.settle()
    run.network.run_until(lambda: client.closed and server.closed, 120 * SECOND)
    check_received(run, other, UPLOAD)
    check_received(run, ending, DOWNLOAD + DOWNLOAD)
    assert client.error is server.error is None
    assert set(other.host.stack.flow_states()) <= {"LAST-ACK"}, "TIME-WAIT is for who closed first"
    come_to_rest(run)


def test_nobody_writes_and_nobody_closes() -> None:
    """As in TCP a half may stay open for as long as its application likes."""
    run = make_scene(1, [PATH])
    client, server = connect(run)
    client.connection.shutdown()
    run.client.settle()
    run.network.run_for(SECOND)
    close_subflows(run, client)
    run.network.run_for(3600 * SECOND)
    assert [one.endpoint.state for one in server.connection.subflows] == [State.CLOSE_WAIT]
    assert not server.closed
    server.connection.close()
    run.server.settle()
    run.network.run_for(SECOND)
    assert client.closed
    assert server.closed
    assert client.error is server.error is None
    come_to_rest(run)


def test_the_only_subflow_is_closed_without_a_fin() -> None:
    """A FIN would be the end of our data for a peer that, unknown to us, has gone back to TCP."""
    run = make_scene(1, [PATH], close_timeout_ns=5 * SECOND)
    client, server = connect(run)
    client.connection.close_subflow(client.connection.subflows[0], run.network.clock.now_ns)
    run.client.settle()
    run.network.run_for(60 * SECOND)
    for one in (client, server):
        assert not one.eof
        assert isinstance(one.error, ConnectionResetError)
    come_to_rest(run)


class FirstLost:
    """Drops as many MP_CAPABLEs after the client's SYN as it is told."""

    def __init__(self, count: int) -> None:
        self.count = count

    def pass_on(self, segment: Segment) -> bool:
        introduces = any(isinstance(option, MpCapable) for option in segment.options.mptcp)
        if self.count and introduces and segment.dport == PORT and not segment.flags & SYN:
            self.count -= 1
            return False
        return True


@pytest.mark.parametrize("cookies", ["off", "always"])
@pytest.mark.parametrize("orders", [("backup",), ("announce",), ("backup", "close"), ("abort",), ("shutdown",)])
@pytest.mark.parametrize("lost", [1, 2])
def test_nothing_takes_the_place_of_the_third_ack(lost: int, orders: tuple[str, ...], cookies: str) -> None:
    """A server that heard something else first went back to TCP, and took a FIN that closed a subflow for the end."""
    settings = {"path_manager": "userspace", "syn_cookies": cookies, "fastclose": "ack", "close_timeout_ns": SECOND}
    run = make_scene(1, [PATH] * 2, middlebox=[rewrite(FirstLost(lost).pass_on), None], **settings)
    client, servers = Patient(), []

    def accept() -> Application:
        servers.append(Patient())
        return servers[-1]

    run.server.listen(Address(b"", PORT), accept)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.connected, SECOND)
    connection, now = client.connection, run.network.clock.now_ns
    table = {
        "backup": lambda: connection.set_backup(connection.subflows[0], True),
        "announce": lambda: connection.path_manager.announce(run.client.stack.addresses[1].ip, now),
        "close": lambda: connection.close_subflow(connection.subflows[0], now),
        "shutdown": connection.shutdown,
        "abort": connection.abort,
    }
    for order in orders:
        table[order]()
    run.client.settle()
    run.network.run_for(20 * SECOND)
    if {"abort", "close"} & set(orders):
        assert all(isinstance(server.error, ConnectionResetError) and not server.eof for server in servers)
        return
    if "shutdown" not in orders:
        client.write(b"x")
        run.client.settle()
        run.network.run_for(10 * SECOND)
    (server,) = servers
    assert server.connection.is_mptcp
    assert server.eof == (orders == ("shutdown",))
    assert run.server.stack.counters["MPTcpExtMPPrioRx"] == orders.count("backup")
    assert run.server.stack.counters["MPTcpExtAddAddr"] == orders.count("announce")
