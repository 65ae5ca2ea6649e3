"""Keep-alive (RFC 9293 section 3.8.4): off unless asked for, then a silent peer is asked, and given up in the end."""

import pytest

from mptcp_stack.sim import SECOND, Application
from mptcp_stack.tcp import Address, State
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene

SETTINGS = {
    "keep_alive_idle_ns": 100 * SECOND,
    "keep_alive_interval_ns": 10 * SECOND,
    "keep_alive_probes": 3,
}


def begin(paths: int, keep_alive: bool) -> tuple[Scene, Application]:
    client = {"keep_alive": keep_alive}
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, client=client, **SETTINGS)
    run.server.listen(Address(b"", PORT), Application)
    application = Application()
    run.client.connect(SERVER, application)
    run.network.run_for(5 * SECOND)
    return run, application


def probes(run: Scene) -> int:
    return run.client.stack.counters["TcpExtTCPKeepAlive"]


@pytest.mark.parametrize("paths", [1, 2])
def test_a_peer_that_answers_keeps_the_connection(paths: int) -> None:
    run, client = begin(paths, keep_alive=True)
    run.network.run_for(1000 * SECOND)
    assert not client.closed
    assert probes(run) == 10 * len(client.connection.subflows)


@pytest.mark.parametrize("paths", [1, 2])
def test_a_peer_that_is_gone_is_given_up(paths: int) -> None:
    run, client = begin(paths, keep_alive=True)
    subflows = len(client.connection.subflows)
    for path in run.paths:
        path[0].middlebox = lambda packet: []
    run.network.run_for(120 * SECOND)
    assert not client.closed
    run.network.run_for(30 * SECOND)
    if paths > 1:  # another subflow may come
        assert not client.closed
        run.network.run_for(60 * SECOND)
    assert client.closed
    assert isinstance(client.error, TimeoutError)
    assert probes(run) == 3 * subflows


def test_nobody_is_asked_without_need() -> None:
    run, client = begin(1, keep_alive=False)
    run.network.run_for(1000 * SECOND)
    assert probes(run) == 0
    client.connection.keep_alive = True
    run.client.settle()
    run.network.run_for(SECOND)
    assert probes(run) == 1, "silent for long enough already"
    for _ in range(20):
        client.write(b"news")
        run.client.settle()
        run.network.run_for(50 * SECOND)
    assert probes(run) == 1
    client.connection.keep_alive = False
    run.network.run_for(1000 * SECOND)
    assert probes(run) == 1


def test_a_suspicion_is_followed_up_though_keep_alive_is_switched_off() -> None:
    """The peer has gone without a word; that it is to be asked at other times no more does not matter."""
    run, client = begin(2, keep_alive=True)
    subflows = list(client.connection.subflows)
    for link, _ in run.paths:
        link.middlebox = lambda packet: []
    for subflow in subflows:
        subflow.endpoint.keep_alive.suspect(run.network.clock.now_ns)
    client.connection.keep_alive = False
    run.client.settle()
    run.network.run_for(60 * SECOND)
    assert not [subflow for subflow in subflows if subflow.endpoint.state is not State.CLOSED]
