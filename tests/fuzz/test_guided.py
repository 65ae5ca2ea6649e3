"""The recipes of guided.py, drawn at random instead of by coverage."""

from random import Random

import pytest

from mptcp_stack.stack import Stack
from tests.fuzz import guided


@pytest.mark.parametrize("kind", range(len(guided.KINDS)))
def test_recipes_at_random(kind: int) -> None:
    random = Random(kind)
    for _ in range(20):
        guided.run(bytes([kind]) + random.randbytes(random.randrange(300)))


@pytest.mark.parametrize("kind", range(len(guided.KINDS)))
def test_the_recorded_conversation_fits_the_stack(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else the fuzzer would knock at a closed door."""
    stacks: list[Stack] = []
    monkeypatch.setattr(guided, "check_bounds", lambda stack, _: stacks.append(stack))
    guided.run(bytes([kind, guided.EDITS - 1]))
    (connection,) = stacks[0].connections
    assert connection.is_mptcp == (guided.KINDS[kind][0] != {"mptcp": False})
    assert connection.receiving.next > 5000
