"""The picture of TCP's states is the table's."""

import pytest

from docs import draw_states
from mptcp_stack.tcp.states import TRANSITIONS, Event, State


def test_it_is_of_this_table():
    assert draw_states.PICTURE.read_text() == draw_states.drawing(), "run: .venv/bin/python -m docs.draw_states"


@pytest.mark.parametrize("missing", [key for key in TRANSITIONS if key[1] is not Event.ABORT])
def test_every_transition_is_in_it(missing, monkeypatch):
    monkeypatch.delitem(TRANSITIONS, missing)
    assert draw_states.PICTURE.read_text() != draw_states.drawing()


def test_what_leads_from_every_state_is_said_in_words(monkeypatch):
    assert f"abort: from every state to {State.CLOSED}" in draw_states.drawing()
    monkeypatch.delitem(TRANSITIONS, (State.TIME_WAIT, Event.ABORT))
    assert "from every state" not in draw_states.drawing()
