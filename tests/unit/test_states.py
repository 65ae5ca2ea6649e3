"""The table of TCP's states, under any sequence of events (RFC 9293 section 3.3.2)."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.tcp.states import TRANSITIONS, Event, State, advance

EVENTS = st.lists(st.sampled_from(Event))
LIFE = [event for event in Event if event is not Event.ABORT]
OPENING = (Event.ACTIVE_OPEN, Event.PASSIVE_OPEN)


def walk(events: list[Event]) -> list[State]:
    states = [State.CLOSED]
    for event in events:
        states.append(advance(states[-1], event))
    return states


@given(EVENTS)
def test_an_abort_ends_everything(events):
    assert advance(walk(events)[-1], Event.ABORT) is State.CLOSED


@given(st.lists(st.sampled_from([event for event in LIFE if event not in OPENING])))
def test_nothing_begins_without_an_opening(events):
    assert set(walk(events)) == {State.CLOSED}


@given(EVENTS)
def test_a_life_goes_forward(events):
    """But for the way back to CLOSED no state comes before the one it follows."""
    states = walk(events)
    for before, after in pairwise(states):
        assert after >= before or after is State.CLOSED


@given(EVENTS)
def test_both_ends_are_needed_to_close(events):
    """TIME-WAIT, and CLOSED from LAST-ACK, are reached only with our CLOSE acknowledged and the peer's FIN."""
    states = walk(events)
    for index, state in enumerate(states):
        if state is State.TIME_WAIT:
            assert {Event.CLOSE, Event.FIN_RECEIVED, Event.FIN_ACKED} <= set(events[:index])


def test_states_are_named_as_in_the_rfc():
    assert {str(state) for state in State} == {
        "CLOSED", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",
        "LAST-ACK", "TIME-WAIT",
    }  # fmt: skip


def test_every_state_is_reached_and_left():
    assert set(TRANSITIONS.values()) == set(State)
    assert {before for before, event in TRANSITIONS} == set(State)
