"""Handover: what an application notices when WiFi degrades and dies, 3G takes over, and WiFi comes back.

A phone with WiFi and 3G talks through a proxy from MPTCP to TCP, behind which is a server that knows TCP alone. It
makes a call (a voice frame every 20 ms each way, over one stream), or fetches one long file, or many small ones. WiFi
begins to lose packets and rate, is gone (the phone's interface loses its carrier), and returns. The phone uses both
paths at once (full), 3G as a backup, or one path at a time (single-path, break before make). The proxy has one server
for all its clients (forward). One more call each shows it in between a phone and the server that the phone connects to
(transparent), and told by the phone where to (convert, RFC 8803; the message follows the handshake, it is not in the
SYN).

A frame's delay is from when it was due to when the other application had it; the interruption of a call is the longest
time without any frame. A stream loses no frame, but a frame that comes after its turn to be played is lost to the ear:
the call's quality is that of the E-model (ITU-T G.107) for a playout delay that the figure names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.loadgen.traffic import Codec
from testbed.stacks import StackUnderTest
from testbed.stacks.base import common_build
from testbed.stacks.frames import FRAMES_PORT, FramesLoad, frames
from testbed.stacks.measure import BULK_PORT, HTTP_PORT, BulkLoad, HttpLoad, Measurement, bulk, http
from testbed.stacks.proxied import CONVERT, FORWARD, MODES, TRANSPARENT, proxied, relaying
from testbed.units import TIME, TimeNs

SECOND = 1_000_000_000
WEB_BYTES, WEB_PER_S = 30_000, 2.0
WEB_SERVED = 0.9
"""Share of the requests that must be answered."""


def _split(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


class HandoverParameters(Parameters):
    """What can be set."""

    seconds: float = Field(gt=0, le=3600, description="seconds of a run")
    degrade_at: TimeNs = Field(description="when WiFi begins to lose packets")
    down_at: TimeNs = Field(description="when WiFi is gone")
    up_at: TimeNs = Field(description="when WiFi is back")
    codecs: Annotated[tuple[Codec, ...], BeforeValidator(_split)] = Field(
        default=("g711",), description="codecs of the call beside the transfer"
    )


class Handover(Experiment[HandoverParameters]):
    """A call, a transfer and a web user, from WiFi to 3G and back."""

    name = "handover"
    title = "Handover: WiFi to 3G and back, through a proxy to a server of plain TCP"
    topology = "handover"
    stacks = ("python-mptcp", "kernel-mptcp")
    figure = "handover"
    repeats = "the talk's call that goes on through a proxy when WiFi dies"
    collectors = ("interfaces",)
    limits = (
        "The talk showed a Skype call over a real WiFi and a real 3G network. Here both are emulated links, and the"
        " call is frames of a codec's size and rate over one stream. Quality is computed from delays and late frames:"
        " nobody listened."
    )
    scales: ClassVar[Mapping[str, HandoverParameters]] = {
        "quick": HandoverParameters(
            repetitions=1, seconds=16, degrade_at=3 * SECOND, down_at=5 * SECOND, up_at=10 * SECOND
        ),
        "paper": HandoverParameters(
            repetitions=5,
            seconds=60,
            degrade_at=10 * SECOND,
            down_at=15 * SECOND,
            up_at=40 * SECOND,
            codecs=("g711", "g729", "opus"),
        ),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return when WiFi changes."""
        parameters = self.parameters
        times = {"degrade_at": parameters.degrade_at, "down_at": parameters.down_at, "up_at": parameters.up_at}
        over_ns = parameters.down_at - parameters.degrade_at
        return {name: TIME.write(time_ns) for name, time_ns in {**times, "degrade_over": over_ns}.items()}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return calls in every mode and by every way of the proxy, and the other loads over both paths at once."""
        calls = [f"call-{codec}" for codec in self.parameters.codecs]
        cases = [(call, mode, FORWARD) for call in calls for mode in MODES]
        cases += [(calls[0], "full", way) for way in (TRANSPARENT, CONVERT)]
        cases += [(load, "full", FORWARD) for load in ("bulk", "web")]
        return [
            Point(stack, repetition, {"load": load, "mode": mode, "proxy": way})
            for stack in stacks
            for load, mode, way in cases
            for repetition in range(1, self.parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make the load run through the proxy while WiFi comes and goes."""
        stack = proxied(bench.stack, str(point.factors["mode"]), str(point.factors["proxy"]))
        stack.prepare(bench.lab)
        measuring, load, port = self._load(str(point.factors["load"]), bench.seed)
        with relaying(bench.lab, stack, port, bench.directory) as proxy:
            measurement = replace(bench, stack=stack).measure(measuring, load)
        relayed = proxy.documents()[-1].get("stack")  # without, if it did not end as it should
        measurement = replace(measurement, build=common_build([*measurement.stacks.values(), relayed]))
        if measuring is frames:
            received = measurement.result["upload"], measurement.result["download"]
            measurement.result["interruption_ms"] = max(one["longest_gap_ms"] for one in received)
        return measurement

    def needs_our_stack(self, stack: StackUnderTest) -> bool:
        """All do: the proxy is ours, also over the kernel's sockets."""
        return True

    def _load(self, name: str, seed: int) -> tuple[Callable[..., Measurement], Any, int]:
        seconds = self.parameters.seconds
        if name == "bulk":
            return bulk, BulkLoad("download", limit_seconds=seconds), BULK_PORT
        if name == "web":
            load = HttpLoad(WEB_BYTES, round(seconds * WEB_PER_S), 100, rate_per_s=WEB_PER_S, arrivals="constant")
            return http, load, HTTP_PORT
        return frames, FramesLoad(f"voice:codec={name.removeprefix('call-')}", "both", seconds, seed=seed), FRAMES_PORT

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and frames that never arrived.

        That a few requests fail which begin as WiFi goes is a result.
        """
        problems, result = list(measurement.problems), measurement.result
        if point.factors["load"] == "web" and result["succeeded"] >= WEB_SERVED * result["requests"]:
            return []
        if "interruption_ms" in result:
            for direction in ("upload", "download"):
                if not result[direction]["complete"]:
                    problems.append(f"{direction}: only {result[direction]['frames']} frames arrived")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the load and the time to start the programs."""
        return self.parameters.seconds + 3
