"""Draws TCP's states for docs/stack.md from the table by which the stack moves: `python -m docs.draw_states`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mptcp_stack.tcp.states import MAY_RECEIVE, MAY_SEND, TRANSITIONS, Event, State

PICTURE: Final = Path(__file__).parent / "figures" / "tcp-states.svg"

_PLACES: Final = {
    State.CLOSED: (1, 0),
    State.SYN_RECEIVED: (0, 1),
    State.SYN_SENT: (2, 1),
    State.ESTABLISHED: (1, 2),
    State.FIN_WAIT_1: (0, 3),
    State.CLOSE_WAIT: (2, 3),
    State.FIN_WAIT_2: (0, 4),
    State.CLOSING: (1, 4),
    State.LAST_ACK: (2, 4),
    State.TIME_WAIT: (1, 5),
}
"""Column and row of each state, as in RFC 9293 figure 5."""
_END: Final = (2, 5)
"""Where CLOSED stands a second time, for who gets there."""

_COLUMN, _ROW = 230, 92
_LEFT, _TOP, _BOTTOM = 90, 36, 76
_BOX: Final = (136, 44)
_SEGMENTS: Final = {"SYN", "ACK", "FIN"}
_STYLE: Final = """
  text { font: 13px sans-serif; fill: #222; text-anchor: middle; dominant-baseline: central }
  .small { font-size: 11px; fill: #1f5c99 }
  .event { font-size: 12px }
  .halo { font-size: 12px; stroke: white; stroke-width: 5px }
  rect { fill: #cfe3f7; stroke: #4d4d4d }
  line { stroke: #4d4d4d; stroke-width: 1.3; marker-end: url(#arrow) }
"""

_LAYERS: Final = ("halo", "event")
"""Words on a line stand on a white copy of themselves."""

Place = tuple[int, int]


def drawing() -> str:
    """The picture as SVG."""
    width, height = 2 * (_COLUMN + _LEFT), 5 * _ROW + _TOP + _BOTTOM
    common = _events_of_all_states()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        '<marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#4d4d4d"/></marker>',
        f'<rect width="{width}" height="{height}" style="fill: white; stroke: none"/>',
    ]
    for (before, event), after in TRANSITIONS.items():
        if event not in common:
            parts += _arrow(_PLACES[before], _END if after is State.CLOSED else _PLACES[after], _words(event))
    for state, place in (*_PLACES.items(), (State.CLOSED, _END)):
        parts += _box(place, state)
    notes = "; ".join(f"{_words(event)}: from every state to {after}" for event, after in common.items())
    parts.append(f'<text x="{width / 2:g}" y="{height - 20}">{notes}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _events_of_all_states() -> dict[Event, State]:
    """Events that lead from every state to the same one: said in words."""
    targets = {event: {TRANSITIONS.get((state, event)) for state in State} for event in Event}
    return {event: after for event, (after, *others) in targets.items() if after is not None and not others}


def _words(event: Event) -> str:
    return " ".join(word if word in _SEGMENTS else word.lower() for word in event.name.split("_"))


def _middle(place: Place) -> tuple[float, float]:
    return _LEFT + place[0] * _COLUMN, _TOP + place[1] * _ROW


def _box(place: Place, state: State) -> list[str]:
    (x, y), (width, height) = _middle(place), _BOX
    may = [what for what, states in (("sends", MAY_SEND), ("receives", MAY_RECEIVE)) if state in states]
    name_y = y - 7 if may else y
    return [
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}" rx="6"/>',
        f'<text x="{x:g}" y="{name_y:g}">{state}</text>',
        *([f'<text class="small" x="{x:g}" y="{y + 11:g}">{" and ".join(may)}</text>'] if may else []),
    ]


def _arrow(before: Place, after: Place, words: str) -> list[str]:
    """From edge to edge of two boxes, with the event in the middle."""
    (x1, y1), (x2, y2) = _edge(before, after), _edge(after, before)
    return [
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>',
        *(f'<text class="{kind}" x="{(x1 + x2) / 2:.1f}" y="{(y1 + y2) / 2:.1f}">{words}</text>' for kind in _LAYERS),
    ]


def _edge(of: Place, towards: Place) -> tuple[float, float]:
    """Where the way from the middle of one box to that of another leaves the first."""
    (x, y), (to_x, to_y), (width, height) = _middle(of), _middle(towards), _BOX
    share = min(width / 2 / abs(to_x - x or 1e-9), height / 2 / abs(to_y - y or 1e-9))
    return x + (to_x - x) * share, y + (to_y - y) * share


if __name__ == "__main__":
    PICTURE.write_text(drawing())
