"""Links: a cable between two interfaces, what it does to packets, and what realises it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from testbed.input.validation import FieldError, Frozen
from testbed.middleboxes.registry import Specification
from testbed.spec.hosts import End, LinkName
from testbed.spec.impairments import FRAME_OVERHEAD_BYTES, Changes, Impairments
from testbed.spec.schedule import Change, Moment, timeline
from testbed.units import Probability, TimeNs

Wire = Literal["mtu", "super-segments"]
LinkKind = Literal["direct", "tc", "emulator"]
Backend = Literal["auto", "direct", "tc", "emulator"]

_SHAPING = ("rate", "queue")
# Not jitter and reordering: netem's jitter changes the order of packets, its reordering takes the delay away.
_NETEM = ("delay", "loss", "burst_loss", "duplicate")
_EMULATED = (*_SHAPING, *_NETEM, "jitter", "reorder", "reorder_extra", "trace", "schedule", "middleboxes")
ABILITIES: Mapping[LinkKind, Mapping[str, str]] = {
    "direct": {"super-segments": ""},
    "tc": dict.fromkeys(_SHAPING, "tbf") | dict.fromkeys(_NETEM, "netem"),
    "emulator": dict.fromkeys(_EMULATED, ""),
}
"""What each kind of link can do, by field; behind it the queueing discipline that the kernel must have for it."""

# The least that IPv4 and IPv6 work with (RFC 791, RFC 8200).
_MIN_MTU, _MIN_MTU6, _MAX_MTU = 68, 1280, 65535


class Tolerance(Frozen):
    """How far what is measured may be from what is asked; beyond it the run fails.

    `rate` and `queue` are shares, `delay_ns` is that of the mean, `p99_ns` how much above the largest delay asked for
    one packet of a hundred may be. Loss is judged by chance alone.
    """

    rate: Probability = 0.02
    delay_ns: TimeNs = Field(default=500_000, alias="delay")
    p99_ns: TimeNs = Field(default=3_000_000, alias="p99")
    queue: Probability = 0.05

    @model_validator(mode="before")
    @classmethod
    def _of_the_rate(cls, data: Any) -> Any:
        """A single number is that of the rate."""
        return data if isinstance(data, dict | Tolerance) else {"rate": data}


class Link(Impairments):
    """A cable between two interfaces.

    What it does to packets holds for both directions; `reverse` names what is different from its second end to its
    first, `schedule` what changes over time. `mtu` is that of the IP packets in bytes. `backend` realises it:
    `direct` (nothing but two interfaces), `tc` (the kernel's shapers) or `emulator` (everything, in user space); `auto`
    takes the first that can do it without netem. What `backend` or this kernel cannot do is refused, or left to
    `fallback`. `wire` says what crosses it: packets of at most the MTU, or super-segments of up to 64 KB as veth can
    pass them (links that do nothing to packets only). `middleboxes` stand at the first end (`testbed.middleboxes`).
    """

    name: LinkName
    ends: tuple[End, End]
    reverse: Changes | None = None
    schedule: tuple[Change, ...] = Field(default=(), max_length=10_000)
    mtu: int = Field(default=1500, ge=_MIN_MTU, le=_MAX_MTU)
    backend: Backend = "auto"
    fallback: Literal["none", "emulator"] = "none"
    wire: Wire = "mtu"
    tolerance: Tolerance = Tolerance()
    middleboxes: tuple[Specification, ...] = Field(default=(), max_length=100)

    @property
    def frame_bytes(self) -> int:
        """The length of an Ethernet frame with a packet of the MTU."""
        return self.mtu + FRAME_OVERHEAD_BYTES

    @property
    def directions(self) -> tuple[Impairments, Impairments]:
        """What happens to packets from the first end to the second, and from the second to the first."""
        forward = Impairments.model_construct(**{name: getattr(self, name) for name in Impairments.model_fields})
        back = forward.changed(self.reverse) if self.reverse else forward
        round_trip_ns = forward.delay_ns + back.delay_ns
        return (
            forward.resolved(round_trip_ns, self.frame_bytes, ""),
            back.resolved(round_trip_ns, self.frame_bytes, "reverse."),
        )

    @property
    def timelines(self) -> tuple[list[Moment], list[Moment]]:
        """What becomes of both directions over time."""
        first, second = self.directions
        return timeline(first, self.schedule, "forward"), timeline(second, self.schedule, "reverse")

    @property
    def asked_of_backend(self) -> list[str]:
        """The names of what it asks for, as `ABILITIES` has them."""
        first, second = self.directions
        names = dict.fromkeys([*first.asked, *second.asked])
        more = {
            "schedule": bool(self.schedule),
            "middleboxes": bool(self.middleboxes),
            "super-segments": self.wire == "super-segments",
        }
        return [*names, *(name for name, is_asked in more.items() if is_asked)]

    @property
    def beyond_backend(self) -> list[str]:
        """What it asks for and the backend that it names can never do."""
        if self.backend == "auto":
            return []
        return [name for name in self.asked_of_backend if name not in ABILITIES[self.backend]]

    @property
    def kind(self) -> LinkKind:
        """How the link is realised."""
        if self.backend != "auto":
            return "emulator" if self.beyond_backend and self.fallback == "emulator" else self.backend
        asked, first, second = set(self.asked_of_backend), *self.directions
        if asked <= {"super-segments"}:
            return "direct"
        return "tc" if asked == set(_SHAPING) and first.rate_bps and second.rate_bps else "emulator"

    @model_validator(mode="after")
    def _is_whole(self) -> Link:
        for place, direction in zip(("", "reverse."), self._unresolved(), strict=True):
            direction.check(place)
        self._check_backend()
        self._check_schedule()
        first, second = self.ends
        if first.host == second.host:
            raise FieldError("ends", f"both are on the host '{first.host}'; a link joins two hosts")
        if first.networks != second.networks:
            subnets = (", ".join(map(str, end.networks)) for end in self.ends)
            raise FieldError("ends", f"are on different subnets: {' and '.join(subnets)}")
        if self.mtu < _MIN_MTU6 and first.address6 is not None:
            raise FieldError("mtu", f"IPv6 needs at least {_MIN_MTU6} bytes")
        return self

    def _unresolved(self) -> tuple[Impairments, Impairments]:
        return self, self.changed(self.reverse) if self.reverse else self

    def _check_schedule(self) -> None:
        _ = self.timelines
        hosts = [end.host for end in self.ends]
        for index, change in enumerate(self.schedule):
            if isinstance(change.carrier, str) and change.carrier not in hosts:
                raise FieldError(f"schedule[{index}].carrier", f"must be true, false, {hosts[0]} or {hosts[1]}")

    def _check_backend(self) -> None:
        kind = self.kind
        if kind != "direct" and self.wire == "super-segments":
            raise FieldError("wire", "a shaped link carries single packets: use mtu, or leave out the rate")
        beyond = [name for name in self.asked_of_backend if name not in ABILITIES[kind]]
        if beyond:
            able = [name for name, can in ABILITIES.items() if set(self.asked_of_backend) <= set(can)]
            raise FieldError("backend", f"{kind} cannot do {', '.join(beyond)}: use {', '.join(able)} or auto")
        if kind == "tc" and not self.asked_of_backend:
            raise FieldError("backend", "tc has nothing to do without a rate or a delay: use direct or auto")
