"""What must hold of both stacks of a world at any time, and when all is over."""

from collections import Counter

from mptcp_stack.sim import Host
from mptcp_stack.stack import Stack
from tests.fuzz.worlds.actor import Actor
from tests.sim.test_faults import Watch

MOST_SIGNALS = 600
MOST_TIMERS = 3000


def check(watch: Watch, hosts: tuple[Host, ...]) -> None:
    """Between any two events."""
    watch.check()
    for host in hosts:
        _check_stack(host.stack)


def _check_stack(stack: Stack) -> None:
    for connection in stack.connections:
        assert len(connection.signals._waiting) <= MOST_SIGNALS
        assert len(connection.announcements.received) <= stack.config.max_addresses_accepted
        for subflow in connection.subflows:
            scoreboard = subflow.endpoint.sender.scoreboard
            under_way = sum(record.end - record.seq for record in scoreboard if not record.delivery)
            assert scoreboard.in_flight == under_way, f"{scoreboard.in_flight} in flight, {under_way} counted"
    names = Counter(address.address_id for address in stack.addresses)
    assert max(names.values(), default=0) <= 1, f"an address ID for several addresses: {names}"
    assert len(stack.context.timers._heap) <= MOST_TIMERS


def check_rest(stack: Stack) -> None:
    """Nothing is left to happen: nothing may be left."""
    assert not stack.connections, "connections left"
    assert not stack._flows, f"flows left: {dict(stack.flow_states())}"
    assert not stack._tokens, "tokens left"
    assert stack.next_deadline() is None, "a timer is left"
    assert all(listener.half_open == 0 for listener in stack._listeners.values()), "half-open connections left"
    assert stack.next_event() is None, "an event is left"


def check_outcome(actors: list[Actor], harmless: bool) -> None:
    """What applications were told agrees with what they did. ``harmless``: nothing else ends a connection there."""
    for actor in actors:
        assert actor.ends == 1, f"{actor.name}: Closed came {actor.ends} times"
        peer = actor.peer
        if peer is None or any(one.aborted or (one.left and not one.eof) for one in (actor, peer)):
            continue
        if actor.error is peer.error is None:
            assert actor.taken == len(actor.owed), f"{actor.name}: {actor.taken} of {len(actor.owed)}, and no error"
        else:
            assert not harmless, f"{actor.name}: {actor.error!r}, and {peer.name}: {peer.error!r}"
