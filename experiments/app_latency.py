"""The delay of blocks that an application writes, from write to delivery, over WiFi and 3G.

The server writes blocks of 8 kB as fast as the stack takes them, each with its time; the client notes when it has all
of one. So a block's delay is the time it waits in the send buffer, on the way, and in the receiver's buffer for what
comes before it. Paths and buffers are those of `receive-buffer`, whose text says what a size means and which the four
mechanisms of the paper (NSDI 2012, section 4.2) are.

The paper compared the distribution of this delay at 200 kB: TCP over either path, MPTCP without the mechanisms and with
retransmission and penalisation, which take off the longest delays. A block's delay cannot be much
below the buffer's size over the goodput: at 200 kB over 8 Mbit/s that is 0.2 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, PositiveInts
from testbed.stacks.buffers import lines, over_path, with_buffer
from testbed.stacks.frames import FramesLoad, frames
from testbed.stacks.measure import Measurement
from testbed.units import SizeBytes


class AppLatencyParameters(Parameters):
    """What can be set."""

    buffers_kb: PositiveInts = Field(default=(200, 1000), description="sizes of send and receive buffer, in kB")
    block: SizeBytes = Field(default=8192, description="what the server writes at a time")
    seconds: float = Field(gt=0, le=3600, description="seconds in which blocks are written")


class AppLatency(Experiment[AppLatencyParameters]):
    """Delays of blocks over WiFi and 3G by size of the buffers."""

    name = "app-latency"
    title = "Delay of blocks from write to delivery, over WiFi and 3G"
    topology = "wifi-3g"
    stacks = (
        "kernel-tcp",
        "kernel-mptcp",
        "python-mptcp+opportunistic_retransmission=off+penalisation=off",
        "python-mptcp",
        "python-mptcp+send_buffer_autotuning=on+receive_buffer_autotuning=on+cwnd_capping=on",
    )
    figure = "app_latency"
    repeats = 'application-level delay, NSDI 2012 ("How Hard Can It Be?"), section 4.2'
    limits = "Links are emulated: a constant 8 and 2 Mbit/s in place of a real WiFi and a real 3G network."
    scales: ClassVar[Mapping[str, AppLatencyParameters]] = {
        "quick": AppLatencyParameters(repetitions=3, seconds=6),
        "paper": AppLatencyParameters(repetitions=5, buffers_kb=(50, 100, 200, 400, 1000), seconds=60),
    }

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every size, each path alone for TCP, all of a stack in one lab."""
        return [
            Point(stack, repetition, {"path": path, "buffer_kb": buffer_kb})
            for stack, path in lines(stacks)
            for buffer_kb in self.parameters.buffers_kb
            for repetition in range(1, self.parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Let the server write blocks."""
        stack = over_path(bench.stack, str(point.factors["path"]))
        traffic = f"blocks:size={self.parameters.block} B"
        load = FramesLoad(traffic, "download", self.parameters.seconds, seed=bench.seed)
        with with_buffer(bench.lab, stack, 1000 * int(point.factors["buffer_kb"])):
            return replace(bench, stack=stack).measure(frames, load)

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and blocks that never arrived."""
        problems, received = list(measurement.problems), measurement.result["download"]
        if not received["complete"]:
            problems.append(f"only {received['frames']} blocks arrived")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the time in which blocks are written, and that to start the programs and empty the queues."""
        return self.parameters.seconds + 4
