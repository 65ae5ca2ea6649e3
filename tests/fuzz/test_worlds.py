"""A few worlds of each kind (`python -m tests.fuzz.worlds` runs more), and that a world notices what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from mptcp_stack.mptcp.closing.closing import Closing
from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.receiving import Receiving
from mptcp_stack.storage import length_of
from tests.fuzz.worlds.world import World

SEEDS = range(1, 5)
BUSY = 7
"""A world in which something is written, read and ended."""


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_world(seed: int, heavy: bool) -> None:
    World(seed, heavy).run()


def test_a_seed_gives_the_same_packets_again() -> None:
    one, other = World(BUSY), World(BUSY)
    one.run()
    other.run()
    assert one.network.trace == other.network.trace
    assert sum(actor.taken for actor in one.actors)


def lose_a_byte(insert: Callable[..., bool]) -> Callable[..., bool]:
    def mutated(self: Receiving, dsn: int, chunks: Any, length: int) -> bool:
        return insert(self, dsn, [memoryview(bytes(length_of(chunks)))], length)

    return mutated


MUTATIONS: dict[str, tuple[type, str, Callable[..., Any], str]] = {
    "other bytes": (Receiving, "insert", lose_a_byte, "wrong bytes"),
    "an end too early": (Connection, "eof", lambda eof: property(lambda self: self.established), "an end that"),
    "no Closed": (Closing, "report", lambda report: lambda self: None, "does not come to its end"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_what_is_wrong_is_noticed(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, mutate, message = MUTATIONS[mutation]
    monkeypatch.setattr(owner, name, mutate(getattr(owner, name)))
    with pytest.raises(AssertionError, match=message):
        World(BUSY).run()
