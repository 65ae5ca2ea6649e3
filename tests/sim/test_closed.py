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
