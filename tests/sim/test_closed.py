"""The end of a connection is told once, whatever brought it about and whatever is left unread."""

from collections.abc import Callable

import pytest

from mptcp_stack.mptcp.path_manager import PathManager
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import SECOND, Application
from mptcp_stack.tcp import Address, Endpoint
from mptcp_stack.tcp.errors import timed_out
from tests.sim.scenes import PATH, PORT, SERVER, Scene, come_to_rest, make_scene


class Counting(Application):
    """Reads nothing unless told to, and counts the ends of its connection."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[OSError | None] = []

    def handle_readable(self) -> None:
        pass

    def handle_closed(self, error: OSError | None) -> None:
        super().handle_closed(error)
        self.ends.append(error)


Way = Callable[[Scene, Counting, Counting], None]
"""What to do with a scene, our application and the peer's."""


def calls(*names: str) -> Way:
    """Our application calls these methods of its connection."""

    def way(run: Scene, ours: Counting, peer: Counting) -> None:
        for name in names:
            getattr(ours.connection, name)()

    return way


def peer_calls(name: str) -> Way:
    return lambda run, ours, peer: calls(name)(run, peer, ours)


def over_then(name: str) -> Way:
    """Both directions end in order first, so that nothing but our reading is left."""

    def way(run: Scene, ours: Counting, peer: Counting) -> None:
        for one in (ours, peer):
            one.connection.shutdown()
            one.host.settle()
        run.network.run_for(90 * SECOND)
        assert not run.client.stack.connections
        getattr(ours.connection, name)()

    return way


def cut(run: Scene, ours: Counting, peer: Counting) -> None:
    """Somebody on the way resets all subflows."""
    for subflow in ours.connection.subflows:
        subflow.endpoint.send_reset(run.network.clock.now_ns)
        subflow.endpoint.abort(run.network.clock.now_ns)


WAYS: dict[str, Way] = {
    "abort": calls("abort"),
    "abort twice": calls("abort", "abort"),
    "close": calls("close"),
    "shutdown and close": calls("shutdown", "close"),
    "shutdown and abort": calls("shutdown", "abort"),
    "the peer aborts": peer_calls("abort"),
    "the peer closes": peer_calls("close"),
    "failure": lambda run, ours, peer: ours.connection.closing.fail(timed_out(), run.network.clock.now_ns),
    "subflows lost": cut,
    "over, then read": over_then("receive"),
    "over, then closed": over_then("close"),
    "over, then aborted": over_then("abort"),
}


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("mptcp", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_one_closed(way: str, mptcp: bool, unread: bool) -> None:
    run = make_scene(1, [PATH] * 2, mptcp=mptcp, close_timeout_ns=5 * SECOND)
    ours, peer = Counting(), Counting()
    run.server.listen(Address(b"", PORT), lambda: peer)
    run.client.connect(SERVER, ours)
    run.network.run_for(SECOND)
    peer.write(bytes(3000 if unread else 0))
    run.server.settle()
    run.network.run_for(SECOND)
    assert ours.connection.receive_ready == (3000 if unread else 0)
    if way.startswith("the peer") and unread:
        ours.write(b"unread, too")
        run.client.settle()
        run.network.run_for(SECOND)
    WAYS[way](run, ours, peer)
    run.client.settle()
    run.server.settle()
    run.network.run_for(300 * SECOND)
    for one in (ours, peer):
        if one.connection in one.host.stack.connections:
            one.connection.close()
            one.host.settle()
            run.network.run_for(300 * SECOND)
        assert len(one.ends) == 1, one.ends
    come_to_rest(run)


class Mine(Exception):
    """A mistake in somebody's path manager."""


class FailsToStop(PathManager):
    """Its mistake comes while the connection ends."""

    def stop(self) -> None:
        super().stop()
        raise Mine


class FailsAfterSubflows(PathManager):
    """Its mistake comes with each subflow that goes."""

    def on_established(self, now: int) -> None:
        connection = self.connection
        if connection.active:
            connection.open_subflow(connection.stack.addresses[1], 0, connection.remote, now)

    def on_subflow_closed(self, subflow: Subflow, error: OSError | None, now: int) -> None:
        raise Mine


@pytest.mark.parametrize("manager", ["FailsToStop", "FailsAfterSubflows"])
@pytest.mark.parametrize("fastclose", ["rst", "ack"])
@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"failure", "subflows lost"}))
def test_a_mistake_amid_the_end_leaves_nothing_behind(way: str, fastclose: str, manager: str) -> None:
    """The application is told once, and of the mistake: not of others that follow from it.

    Left out are ways that call into the stack from outside, where nothing is contained.
    """
    settings = {"fastclose": fastclose, "close_timeout_ns": 5 * SECOND}
    run = make_scene(1, [PATH] * 2, client={"path_manager": f"{__name__}:{manager}"}, **settings)
    stack, problems = run.client.stack, []
    stack.on_exception = lambda connection, problem: problems.append(problem)
    ours, peer = Counting(), Counting()
    run.server.listen(Address(b"", PORT), lambda: peer)
    run.client.connect(SERVER, ours)
    run.network.run_for(SECOND)
    WAYS[way](run, ours, peer)
    run.client.settle()
    run.network.run_for(300 * SECOND)
    ours.connection.close()
    run.client.settle()
    assert {type(problem) for problem in problems} <= {Mine}
    assert len(ours.ends) == 1
    assert not stack.connections
    assert not stack._flows
    assert not stack._tokens
    assert not stack._over
    assert stack.next_deadline() is None


class KeptManager(PathManager):
    """Is told by somebody who does not know that the connection is over."""

    def on_timer(self, now: int) -> None:
        raise AssertionError("it is over")


def test_orders_to_a_path_manager_that_come_too_late_do_nothing() -> None:
    run = make_scene(1, [PATH], path_manager=f"{__name__}:KeptManager")
    ours = Counting()
    run.server.listen(Address(b"", PORT), Counting)
    run.client.connect(SERVER, ours)
    run.network.run_for(SECOND)
    manager, remote = ours.connection.path_manager, ours.connection.remote
    ours.connection.abort()
    run.client.settle()
    manager.wake_at(run.network.clock.now_ns)
    assert manager.local_addresses(remote.ip) == []
    come_to_rest(run)


class Replacing(PathManager):
    """Opens another subflow at once where one has gone."""

    def on_subflow_closed(self, subflow: Subflow, error: OSError | None, now: int) -> None:
        for address in self.local_addresses(subflow.remote.ip):
            self.connection.open_subflow(address, 0, subflow.remote, now)


ENDS: dict[str, Way] = {
    "all has arrived, without the last acknowledgement": lambda run, ours, peer: ours.connection.closing.fail(
        None, run.network.clock.now_ns
    ),
    "failure": WAYS["failure"],
    "abort": WAYS["abort"],
    "too long a wait for the end of data": lambda run, ours, peer: ours.connection.closing.send_abort(
        run.network.clock.now_ns
    ),
}


@pytest.mark.parametrize("fastclose", ["rst", "ack"])
@pytest.mark.parametrize("end", ENDS)
def test_nothing_takes_the_place_of_what_goes_with_the_connection(end: str, fastclose: str) -> None:
    run = make_scene(1, [PATH] * 2, path_manager=f"{__name__}:Replacing", fastclose=fastclose)
    ours, peer = Counting(), Counting()
    run.server.listen(Address(b"", PORT), lambda: peer)
    run.client.connect(SERVER, ours)
    run.network.run_for(SECOND)
    ours.write(b"so that both know of MPTCP")
    run.client.settle()
    run.network.run_for(SECOND)
    ENDS[end](run, ours, peer)
    run.client.settle()
    assert not run.client.stack.connections
    assert not ours.connection.subflows
    assert [flow for flow in run.client.stack._flows.values() if type(flow) is Endpoint] == []
    come_to_rest(run)
