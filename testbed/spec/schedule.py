"""Changes of a link over time.

Time zero is when the workload starts; until then the link is in its first state, and that is what is calibrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from testbed.input.validation import FieldError, Frozen
from testbed.spec.impairments import Changes, Impairments
from testbed.units import TimeNs

Way = Literal["forward", "reverse"]
_RAMPED = ("rate_bps", "delay_ns", "jitter_ns", "loss")
# A ramp is a stair of small steps.
_STEP_NS, _MAX_STEPS = 10_000_000, 1000
_MAX_MOMENTS = 20_000


class Change(Frozen):
    """One change: fields that are set, at once or gradually `over` some time; or the link going down or up.

    `direction` is forward (from the first end to the second), reverse, or both. What a link that is down is given is
    lost, and so is what still waited in its queue; what was already on its way arrives. `carrier`: the interfaces
    at its ends lose their carrier as well, as when a cable is unplugged; or that of one host alone, by name.
    """

    at_ns: TimeNs = Field(alias="at")
    changes: Changes | None = Field(default=None, alias="set")
    over_ns: TimeNs = Field(default=0, alias="over")
    state: Literal["up", "down"] | None = None
    direction: Literal["both", "forward", "reverse"] = "both"
    carrier: bool | str = False

    @model_validator(mode="after")
    def _one_thing(self) -> Change:
        if (self.changes is None) == (self.state is None):
            raise FieldError("set", "or state: a change has one of them")
        if self.changes is not None and not self.changes.model_fields_set:
            raise FieldError("set", "names no field that changes")
        if self.over_ns and self.changes is None:
            raise FieldError("over", "belongs to set: a link is down at once")
        if self.carrier and (self.state != "down" or self.direction != "both"):
            raise FieldError("carrier", "belongs to state: down in both directions; it returns with state: up")
        if self.changes is not None:
            self._check_fields(self.changes)
        return self

    def _check_fields(self, changes: Changes) -> None:
        if "trace" in changes.model_fields_set:
            raise FieldError("set.trace", "cannot change: it holds for the whole run")
        if changes.queue is not None and changes.queue.unit == "bdp":
            raise FieldError("set.queue", "must be in bytes or packets here")
        if self.over_ns:
            for name in sorted(changes.model_fields_set - set(_RAMPED)):
                raise FieldError(f"set.{name}", "cannot change gradually; rate, delay, jitter and loss can")

    @property
    def end_ns(self) -> int:
        """When it is complete."""
        return self.at_ns + self.over_ns

    def concerns(self, way: Way) -> bool:
        """Whether it changes that direction."""
        return self.direction in ("both", way)


class Moment(NamedTuple):
    """From `at_ns` on, a direction does this to packets; not `up`: it passes none."""

    at_ns: int
    impairments: Impairments
    up: bool


def timeline(first: Impairments, schedule: Sequence[Change], way: Way) -> list[Moment]:
    """The states of one direction after the first, in order. FieldError when a change does not fit where it comes."""
    moments: list[Moment] = []
    now, up, free_ns = first, True, 0
    for index, change in enumerate(schedule):
        if not change.concerns(way):
            continue
        if change.at_ns < free_ns:
            raise FieldError(f"schedule[{index}].at", "must not be before the end of the change above it")
        free_ns = change.end_ns
        if change.changes is None:
            up = change.state == "up"
            moments.append(Moment(change.at_ns, now, up))
            continue
        after = now.changed(change.changes)
        after.check(f"schedule[{index}].set.")
        moments += [Moment(at_ns, state, up) for at_ns, state in _steps(now, after, change, index)]
        if len(moments) > _MAX_MOMENTS:
            raise FieldError(f"schedule[{index}]", f"makes more than {_MAX_MOMENTS} steps with those above it")
        now = after
    return moments


def _steps(before: Impairments, after: Impairments, change: Change, index: int) -> Iterable[tuple[int, Impairments]]:
    names = change.changes.model_fields_set if change.changes else set()
    for name in names if change.over_ns else ():
        if getattr(before, name) is None or getattr(after, name) is None:
            raise FieldError(
                f"schedule[{index}].set.{name.removesuffix('_bps')}", "cannot change gradually to or from none"
            )
    count = min(_MAX_STEPS, max(1, change.over_ns // _STEP_NS))
    for step in range(1, count):
        share = step / count
        values = {name: _between(getattr(before, name), getattr(after, name), share) for name in names}
        yield change.at_ns + change.over_ns * step // count, before.model_copy(update=values)
    yield change.end_ns, after


def _between(first: float, last: float, share: float) -> float:
    value = first + (last - first) * share
    return round(value) if isinstance(first, int) and isinstance(last, int) else value
