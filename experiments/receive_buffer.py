"""Goodput against the size of the buffers: WiFi and 3G together, with the mechanisms for small buffers one by one.

One download over WiFi (8 Mbit/s, 20 ms) and 3G (2 Mbit/s, 150 ms, up to 2 s of queue). Both ends have buffers of the
same size; when they are small, what 3G still carries holds up what WiFi has brought. Against that the paper (NSDI
2012, section 4.2) has four mechanisms: (1) opportunistic retransmission and (2) penalisation of the slow subflow,
which both are on in our stack, (3) buffers that tune themselves and (4) a cap on congestion windows, which are
switches. TCP over each path alone is the reference. The goodput is that of a transfer's time after its first seconds.

The size is what the application's bytes can take: of the kernel's memory, half of which is for its own keeping, twice
as much is set (`tcp_rmem`, `tcp_wmem`), below which the kernel tunes the buffers itself. The paper found MPTCP without
mechanisms below TCP over WiFi wherever buffers were small, and with (1) and (2) never below; that is what to look for.
The kernel's MPTCP here is not the paper's but the one of upstream Linux, with another scheduler and neither (2) nor
(4). With buffers that hold no more than 128 KiB, (3) changes nothing in our stack: that is where it begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from testbed.errors import LabError
from testbed.experiment import Bench, Experiment, Parameters, Point, PositiveInts
from testbed.stacks.buffers import lines, over_path, with_buffer
from testbed.stacks.measure import TIMELINE, BulkLoad, Measurement, bulk
from testbed.stacks.timeline import rate_bps, read_timeline


class ReceiveBufferParameters(Parameters):
    """What can be set."""

    buffers_kb: PositiveInts = Field(
        default=(50, 100, 200, 400, 1000), description="sizes of send and receive buffer, in kB"
    )
    seconds: float = Field(gt=0, le=3600, description="seconds of one transfer")
    settle_seconds: float = Field(ge=0, le=3600, description="seconds at its begin that do not count")


class ReceiveBuffer(Experiment[ReceiveBufferParameters]):
    """Goodput over WiFi and 3G by size of the buffers."""

    name = "receive-buffer"
    title = "Goodput over WiFi and 3G against the size of the buffers"
    topology = "wifi-3g"
    stacks = (
        "kernel-tcp",
        "kernel-mptcp",
        "python-mptcp+opportunistic_retransmission=off+penalisation=off",
        "python-mptcp+penalisation=off",
        "python-mptcp",
        "python-mptcp+send_buffer_autotuning=on+receive_buffer_autotuning=on",
        "python-mptcp+send_buffer_autotuning=on+receive_buffer_autotuning=on+cwnd_capping=on",
    )
    figure = "receive_buffer"
    repeats = 'goodput by buffer size, NSDI 2012 ("How Hard Can It Be?"), section 4.2'
    limits = (
        "Links are emulated: a constant 8 and 2 Mbit/s in place of a real WiFi and a real 3G network. What waits in "
        "the receiver for older data as the count begins counts when it is delivered: up to a buffer, over the time "
        "that counts. So quick results with 1000 kB can be off by 2 Mbit/s, and above the 9.56 that both links carry."
    )
    scales: ClassVar[Mapping[str, ReceiveBufferParameters]] = {
        "quick": ReceiveBufferParameters(repetitions=3, buffers_kb=(50, 100, 200, 1000), seconds=6, settle_seconds=2),
        "paper": ReceiveBufferParameters(repetitions=5, seconds=30, settle_seconds=5),
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
        """Make one transfer from the server to the client."""
        parameters = self.parameters
        stack = over_path(bench.stack, str(point.factors["path"]))
        with with_buffer(bench.lab, stack, 1000 * int(point.factors["buffer_kb"])):
            load = BulkLoad("download", limit_seconds=parameters.seconds)
            measurement = replace(bench, stack=stack).measure(bulk, load)
        timeline = read_timeline(bench.directory / TIMELINE)
        begin_ns, second_ns = timeline[0][0], 1_000_000_000
        first_ns, last_ns = (
            begin_ns + round(seconds * second_ns) for seconds in (parameters.settle_seconds, parameters.seconds)
        )
        if timeline[0][-1] <= first_ns:
            raise LabError(f"the transfer was over within the {parameters.settle_seconds} s that do not count", 1)
        measurement.result["goodput_bps"] = round(rate_bps(timeline, first_ns, last_ns))
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and a transfer that stood still."""
        problems = list(measurement.problems)
        if not measurement.result["goodput_bps"]:
            problems.append("nothing arrived in the time that counts")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer, and the time to start the programs and empty the queues."""
        return self.parameters.seconds + 3
