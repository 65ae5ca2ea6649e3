"""Timers against a dictionary of deadlines."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.storage import Timers

COUNT = 3
moments = st.integers(0, 40)
steps = st.one_of(
    st.tuples(st.sampled_from(["set", "set_earlier"]), st.integers(0, COUNT - 1), moments),
    st.tuples(st.just("cancel"), st.integers(0, COUNT - 1), st.just(0)),
    st.tuples(st.just("fire"), st.just(0), moments),
)


@pytest.mark.parametrize("useless", [0, 64])
@given(st.lists(steps))
def test_each_timer_fires_once_at_its_last_deadline(useless: int, script: list[tuple[str, int, int]]) -> None:
    """Also where the heap is cleared of what is of no use all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mptcp_stack.storage.timers._USELESS_ENTRIES", useless)
        play(script)


def play(script: list[tuple[str, int, int]]) -> None:
    timers = Timers()
    fired: list[int] = []
    handles = [timers.timer(partial(lambda name, now: fired.append(name), name)) for name in range(COUNT)]
    model: dict[int, int] = {}
    for action, name, moment in script:
        if action == "fire":
            due = {name for name, deadline in model.items() if deadline <= moment}
            order = [model[name] for name in due]
            fired.clear()
            assert timers.fire(moment) == len(due)
            assert set(fired) == due
            assert [model[name] for name in fired] == sorted(order)
            model = {name: deadline for name, deadline in model.items() if name not in due}
        elif action == "cancel":
            handles[name].cancel()
            model.pop(name, None)
        else:
            getattr(handles[name], action)(moment)
            earlier = action == "set_earlier" and name in model
            model[name] = min(moment, model[name]) if earlier else moment
        assert timers.next_deadline() == min(model.values(), default=None)
        assert [handle.armed for handle in handles] == [name in model for name in range(COUNT)]


def test_an_action_may_set_its_own_timer_again() -> None:
    timers = Timers()
    seen: list[int] = []

    def again(now: int) -> None:
        seen.append(now)
        if now < 30:
            timer.set(now + 10)

    timer = timers.timer(again)
    timer.set(10)
    for now in (10, 20, 30, 40):
        timers.fire(now)
    assert seen == [10, 20, 30]
    assert timers.next_deadline() is None
