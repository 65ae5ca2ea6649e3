"""Links and what they do to packets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from testbed.spec.hosts import End, LinkName
from testbed.units import Probability, RateBps, SizeBytes, TimeNs
from testbed.validation import FieldError, Frozen


class BurstLoss(Frozen):
    """Losses that come in bursts (Gilbert and Elliott's model): a state of loss that packets enter and leave.

    Each packet may change the state (`enter` and `leave` are probabilities); in the bad state it is lost with
    probability `lost`.
    """

    enter: Probability
    leave: Probability
    lost: Probability = 1.0

    @property
    def mean(self) -> float:
        """The share of packets lost in the long run."""
        turns = self.enter + self.leave
        return self.lost * self.enter / turns if turns else 0.0


class Impairments(Frozen):
    """What one direction of a link does to packets.

    `rate_bps` None leaves it at the machine's own speed. `queue_bytes` is the drop-tail limit on what waits or is
    being sent before a shaped link. `delay_ns` is the time of propagation; `jitter_ns` moves it by at most that
    much, evenly, without changing the order of packets. Probabilities are per packet; a reordered packet arrives
    `reorder_extra_ns` later, so that others overtake it.
    """

    rate_bps: RateBps | None = Field(default=None, alias="rate")
    queue_bytes: SizeBytes | None = Field(default=None, alias="queue")
    delay_ns: TimeNs = Field(default=0, alias="delay")
    jitter_ns: TimeNs = Field(default=0, alias="jitter")
    loss: Probability = 0.0
    burst_loss: BurstLoss | None = None
    reorder: Probability = 0.0
    reorder_extra_ns: TimeNs = Field(default=0, alias="reorder_extra")
    duplicate: Probability = 0.0

    @model_validator(mode="before")
    @classmethod
    def _none_is_unshaped(cls, data: Any) -> Any:
        """In a template `rate: none` is a word; it means the machine's own speed."""
        if isinstance(data, dict):
            return {key: None if key in ("rate", "queue") and value == "none" else value for key, value in data.items()}
        return data

    @property
    def mean_loss(self) -> float:
        """The share of packets lost in the long run, not counting the queue's drops."""
        bursts = self.burst_loss.mean if self.burst_loss else 0.0
        return 1 - (1 - self.loss) * (1 - bursts)

    @property
    def beyond_shaping(self) -> list[str]:
        """The names of what is asked for beside rate and queue."""
        shaping = {"rate_bps", "queue_bytes"}
        fields = {field.alias or name: name for name, field in Impairments.model_fields.items() if name not in shaping}
        return [alias for alias, name in fields.items() if getattr(self, name)]

    def check(self, place: str = "") -> None:
        """FieldError when the fields do not fit together; `place` goes before their names."""
        if self.rate_bps is not None and self.queue_bytes is None:
            raise FieldError(f"{place}queue", 'a shaped link needs the size of its queue, e.g. "100 kB"')
        if self.rate_bps is None and self.queue_bytes is not None:
            raise FieldError(f"{place}queue", "an unshaped link (no rate) has no queue: leave it out or give a rate")
        if self.jitter_ns > self.delay_ns:
            raise FieldError(f"{place}jitter", "must not exceed the delay: no packet arrives before it was sent")
        if bool(self.reorder) != bool(self.reorder_extra_ns):
            raise FieldError(f"{place}reorder", "and reorder_extra belong together: how often, and how much later")


Wire = Literal["mtu", "super-segments"]
Backend = Literal["auto", "tc", "emulator"]
LinkKind = Literal["veth", "tc", "emulator"]


class Link(Impairments):
    """A cable between two interfaces.

    What it does to packets holds for both directions; `reverse` names what is different from its second end to its
    first. `backend` realises it: `tc` (rate and queue, in the kernel) or `emulator` (everything, in user space);
    `auto` takes tc where that is enough. `wire` says what crosses it: packets of at most the MTU, or super-segments of
    up to 64 KB as veth can pass them (links that do nothing to packets only). `tolerance` is how far the measured
    rate may be from the asked one.
    """

    name: LinkName
    ends: tuple[End, End]
    reverse: Impairments | None = None
    backend: Backend = "auto"
    wire: Wire = "mtu"
    tolerance: float = Field(default=0.05, gt=0, lt=1)

    @property
    def directions(self) -> tuple[Impairments, Impairments]:
        """What happens to packets from the first end to the second, and from the second to the first."""
        forward = {name: getattr(self, name) for name in Impairments.model_fields}
        changes = {name: getattr(self.reverse, name) for name in self.reverse.model_fields_set} if self.reverse else {}
        return Impairments.model_construct(**forward), Impairments.model_construct(**forward | changes)

    @property
    def kind(self) -> LinkKind:
        """How the link is realised; veth is a bare pair of interfaces."""
        if self.backend != "auto":
            return self.backend
        first, second = self.directions
        if not any(one.rate_bps or one.beyond_shaping for one in (first, second)):
            return "veth"
        tc_can = first.rate_bps and second.rate_bps and not first.beyond_shaping + second.beyond_shaping
        return "tc" if tc_can else "emulator"

    @model_validator(mode="after")
    def _shaping_is_whole(self) -> Link:
        for place, direction in zip(("", "reverse."), self.directions, strict=True):
            direction.check(place)
        self._check_backend()
        first, second = self.ends
        if first.host == second.host:
            raise FieldError("ends", f"both are on the host '{first.host}'; a link joins two hosts")
        if first.networks != second.networks:
            subnets = (", ".join(map(str, end.networks)) for end in self.ends)
            raise FieldError("ends", f"are on different subnets: {' and '.join(subnets)}")
        return self

    def _check_backend(self) -> None:
        if self.kind != "veth" and self.wire == "super-segments":
            raise FieldError("wire", "a shaped link carries single packets: use mtu, or leave out the rate")
        if self.kind != "tc":
            return
        for direction in self.directions:
            if direction.beyond_shaping:
                refused = ", ".join(direction.beyond_shaping)
                raise FieldError("backend", f"tc shapes rate and queue, it cannot do {refused}: use emulator or auto")
            if direction.rate_bps is None:
                raise FieldError("backend", "tc shapes both directions or none: use emulator or auto")
