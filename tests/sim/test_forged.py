"""Segments that somebody else slipped into a connection: no answer to an answer to an answer."""

import pytest

from mptcp_stack.sim import SECOND
from tests.sim.scenes import Scene, forge, idle_scene


@pytest.fixture
def idle() -> Scene:
    """A connection over which nothing is under way."""
    return idle_scene()


def packets_until_quiet(run: Scene) -> int:
    before = len(run.network.trace)
    run.network.run_for(2 * SECOND)
    return len(run.network.trace) - before


def test_time_stamps_from_the_future(idle: Scene) -> None:
    """RFC 7323 section 5.3 answers what PAWS refuses; two ends that refuse each other must come to rest."""
    for host in (idle.client, idle.server):
        forge(idle, host, later=1 << 30)
    for host in (idle.client, idle.server):
        forge(idle, host)
    assert packets_until_quiet(idle) < 100


def test_data_that_the_peer_never_sent(idle: Scene) -> None:
    """Its acknowledgement is of something not yet sent: answered (RFC 9293 3.10.7.4), but throttled (RFC 5961 5.2)."""
    for host in (idle.client, idle.server):
        forge(idle, host, length=100)
    assert packets_until_quiet(idle) < 100
