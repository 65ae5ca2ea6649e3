"""What one direction of a link does to packets. What else a new impairment needs stands in `testbed.spec`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from testbed.input.validation import FieldError, Frozen
from testbed.spec.trace import TraceFile
from testbed.units import MOST_QUEUE_BYTES, DelayNs, Probability, RateBps, parse_queue

FRAME_OVERHEAD_BYTES = 14
"""Ethernet's header: what rates and queues count beside the IP packet."""


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


class Queue(Frozen):
    """The drop-tail limit on what waits or is being sent before a shaped link.

    In bytes of Ethernet frames, in packets, or as a multiple of the bandwidth-delay product: the direction's
    rate times the link's delays there and back.
    """

    amount: float = Field(gt=0, le=MOST_QUEUE_BYTES)
    unit: Literal["bytes", "packets", "bdp"]

    def resolve(self, rate_bps: int, round_trip_ns: int, frame_bytes: int) -> Queue:
        """The same in bytes or packets; a multiple of the product holds at least one packet."""
        if self.unit != "bdp":
            return self
        product_bytes = rate_bps * round_trip_ns / 8e9
        return Queue(amount=max(frame_bytes, round(self.amount * product_bytes)), unit="bytes")


def _queue(value: Any) -> Any:
    if isinstance(value, Queue | dict):
        return value
    amount, unit = parse_queue(value)
    return {"amount": amount, "unit": unit}


QueueSize = Annotated[Queue, BeforeValidator(_queue)]


class Impairments(Frozen):
    """What one direction of a link does to packets.

    `rate_bps` None leaves it at the machine's own speed; `trace` is a rate that changes by itself, packet by packet.
    `delay_ns` is the time of propagation; `jitter_ns` moves it by at most that much, evenly, without changing the
    order of packets. Probabilities are per packet; a reordered packet arrives `reorder_extra_ns` later, so that
    others overtake it.
    """

    rate_bps: RateBps | None = Field(default=None, alias="rate")
    queue: QueueSize | None = None
    delay_ns: DelayNs = Field(default=0, alias="delay")
    jitter_ns: DelayNs = Field(default=0, alias="jitter")
    loss: Probability = 0.0
    burst_loss: BurstLoss | None = None
    reorder: Probability = 0.0
    reorder_extra_ns: DelayNs = Field(default=0, alias="reorder_extra")
    duplicate: Probability = 0.0
    trace: TraceFile | None = None

    @model_validator(mode="before")
    @classmethod
    def _none_is_unshaped(cls, data: Any) -> Any:
        """In a template `rate: none` is a word; it means the machine's own speed."""
        if isinstance(data, dict):
            return {
                key: None if key in ("rate", "trace", "queue") and value == "none" else value
                for key, value in data.items()
            }
        return data

    @property
    def capacity_bps(self) -> int | None:
        """The rate, of a trace its mean; None for the machine's own speed."""
        return self.trace.mean_bps if self.trace else self.rate_bps

    @property
    def queue_bytes(self) -> int | None:
        """The queue's limit when it is one in bytes."""
        return int(self.queue.amount) if self.queue and self.queue.unit == "bytes" else None

    @property
    def queue_packets(self) -> int | None:
        """The queue's limit when it is one in packets."""
        return int(self.queue.amount) if self.queue and self.queue.unit == "packets" else None

    @property
    def mean_loss(self) -> float:
        """The share of packets lost in the long run, not counting the queue's drops."""
        bursts = self.burst_loss.mean if self.burst_loss else 0.0
        return 1 - (1 - self.loss) * (1 - bursts)

    @property
    def asked(self) -> list[str]:
        """The names of the fields that ask for something."""
        return [field.alias or name for name, field in Impairments.model_fields.items() if getattr(self, name)]

    @property
    def beyond_shaping(self) -> list[str]:
        """The names of what is asked for beside rate, trace and queue."""
        return [name for name in self.asked if name not in ("rate", "trace", "queue")]

    def changed(self, changes: Changes) -> Impairments:
        """The same but for what `changes` names."""
        return self.model_copy(update={name: getattr(changes, name) for name in changes.model_fields_set})

    def check(self, place: str = "") -> None:
        """FieldError when the fields do not fit together; `place` goes before their names."""
        if self.trace and self.rate_bps:
            raise FieldError(f"{place}trace", "and rate exclude each other: a trace is the rate (use rate: none)")
        if self.capacity_bps and self.queue is None:
            raise FieldError(f"{place}queue", 'a shaped link needs the size of its queue, e.g. "100 kB"')
        if self.capacity_bps is None and self.queue is not None:
            raise FieldError(f"{place}queue", "an unshaped link (no rate) has no queue: leave it out or give a rate")
        if self.jitter_ns > self.delay_ns:
            raise FieldError(f"{place}jitter", "must not exceed the delay: no packet arrives before it was sent")
        if bool(self.reorder) != bool(self.reorder_extra_ns):
            raise FieldError(f"{place}reorder", "and reorder_extra belong together: how often, and how much later")

    def resolved(self, round_trip_ns: int, frame_bytes: int, place: str) -> Impairments:
        """The same with a queue in bytes or packets; FieldError when it does not hold one packet of the MTU."""
        if self.queue is None or self.capacity_bps is None:
            return self
        if self.queue.unit == "bdp" and not round_trip_ns:
            raise FieldError(f"{place}queue", "in bdp needs a delay: bandwidth x delay is zero without")
        queue = self.queue.resolve(self.capacity_bps, round_trip_ns, frame_bytes)
        if queue.amount < (frame_bytes if queue.unit == "bytes" else 1):
            raise FieldError(
                f"{place}queue", f"must hold at least one packet of the MTU ({frame_bytes} B with Ethernet)"
            )
        return self.model_copy(update={"queue": queue})


class Changes(Impairments):
    """Some of the fields of `Impairments`: those that are named are what differs."""

    @model_serializer(mode="wrap")
    def _named_only(self, handler: Any) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name in self.model_fields_set}
