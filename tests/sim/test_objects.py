"""What is over is freed by reference counts alone, whatever brought it about, and what rests is few objects."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.path_manager import PathManager
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.mptcp.sending.sending import Sending
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import SECOND
from mptcp_stack.storage import Timer
from mptcp_stack.tcp import Address, Endpoint, Sender
from tests.sim.memory import LIMITS, End
from tests.sim.scenes import PATH, PORT, SERVER, Scene, come_to_rest, make_scene
from tests.sim.speed import SUPER_BYTES, TURN_NS, Ends
from tests.sim.test_closed import WAYS, Counting

LIVING = (Connection, Sending, Scheduler, PathManager, Subflow, Endpoint, Sender, Timer)


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nothing is freed but by reference counts."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living() -> Counter[str]:
    """How many objects there are of the parts of connections."""
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, LIVING))


def live_and_end(run: Scene, way: str, unread: bool) -> None:
    """One connection, from its beginning to an end brought about in that way."""
    ours, peer = Counting(), Counting()
    run.server.listen(Address(b"", PORT), lambda: peer)
    run.client.connect(SERVER, ours)
    run.network.run_for(SECOND)
    for one in (ours, peer):
        one.write(bytes(3000 if unread else 0))
        one.host.settle()
    run.network.run_for(SECOND)
    assert len(ours.connection.subflows) == (2 if ours.connection.is_mptcp else 1)
    WAYS[way](run, ours, peer)
    for one in (ours, peer):
        one.host.settle()
    run.network.run_for(300 * SECOND)
    for one in (ours, peer):
        one.connection.close()
        one.host.settle()
    come_to_rest(run)
    for one in (ours, peer):
        one.host._closed.clear()
        one.host._applications.clear()
        one.host._factories.clear()
        one.host.settle()


@pytest.mark.parametrize("fastclose", ["rst", "ack"])
@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("mptcp", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("without_collector")
def test_a_connection_is_freed_by_reference_counts(way: str, mptcp: bool, unread: bool, fastclose: str) -> None:
    before = living()
    run = make_scene(1, [PATH] * 2, mptcp=mptcp, fastclose=fastclose, close_timeout_ns=5 * SECOND)
    of_stacks = living()
    live_and_end(run, way, unread)
    listening = Counter({"_Calling": 1})
    assert living() - before <= of_stacks - before + listening


FEW, MANY = 5, 25
TURNS = 60
"""Long enough for two subflows, a request, its answer and all acknowledgements."""


def test_an_idle_connection_is_few_objects() -> None:
    """Both ends together, each with two subflows, after a request and an answer."""
    ends = Ends(SUPER_BYTES)
    client, server = End(ends.client, brief=False), End(ends.server, brief=False)
    tracked: dict[int, int] = {}
    for count in (FEW, MANY):
        wire = client.turn([], range(0), count - len(client.connections), ends.now)
        for _ in range(TURNS):
            ends.now += TURN_NS
            wire = client.turn(server.turn(wire, range(0), 0, ends.now), range(0), 0, ends.now)
        ends.now += SECOND
        assert all(len(one.subflows) == 2 for end in (client, server) for one in end.stack.connections)
        gc.collect()
        tracked[count] = len(gc.get_objects())
    limit = LIMITS["tracked objects of an idle connection"]
    assert 40 < (tracked[MANY] - tracked[FEW]) / (MANY - FEW) / 2 <= limit
