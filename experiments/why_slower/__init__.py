"""Why MPTCP is slower than TCP here, or whether it is: both beside each other, then one thing changed at a time.

A download of so many bytes is timed, over TCP on each path alone and over MPTCP on all of them, each as the stack
comes. Then the same over MPTCP with one thing changed, and everything else as before:

- `buffers`: send and receive buffers may be as large as is asked for, so that none of them is the limit;
- `delays`: all paths have the delay of the nearest, so that nothing has to wait for a segment of a slow path;
- `loss`: no link loses packets of itself;
- `scheduler`: another one, of stacks that have more than one;
- `congestion`: another congestion control, by default one that does not couple the subflows;
- `checksums`: with those of DSS, that each end computes over every byte;
- `segments`: packets leave and arrive one segment at a time, as without segmentation offload and GRO;
- `core`: all programs share one core.

The first five may make it faster, and are then what holds it back. The last three cost processor time: where one core
makes it slower, that is short. Changes take turns within a repetition, and are compared by pairs of one.

The experiment sets nothing of the topology: `--set topology=two-paths --set rate='50 Mbit/s,5 Mbit/s'`, or one of your
own. What makes no difference there is left out: delays that are equal, links without loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import ClassVar, Final

from pydantic import Field

from experiments.why_slower.changes import CHANGES, Asked
from experiments.why_slower.networks import NETWORKS, first, round_trip_ns, ways
from testbed.errors import LabError
from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.placement import Placement
from testbed.spec import Link, Topology
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.kernel_mptcp import KernelMptcp
from testbed.stacks.measure import BulkLoad, Measurement, bulk
from testbed.stacks.python_mptcp import PythonMptcp
from testbed.stacks.python_tcp import PythonTcp
from testbed.units import SizeBytes

ALL: Final = "all"
"""Of the factor `path`: MPTCP has every one of them; TCP has the one that it names."""
NONE: Final = "none"
"""Of the factor `change`: all is as it comes."""

_NETWORK: Final = "network"
"""Of a point's topology: what is changed of it. No parameter of any template."""
_START_S: Final = 1.5
_UNSHAPED_BPS: Final = 1e9
"""For the estimate of the time, of links without a rate."""


class WhySlowerParameters(Parameters):
    """What can be set."""

    size: SizeBytes = Field(description="size of one download")
    buffer: SizeBytes = Field(default=16_000_000, ge=4096, description="'buffers': what each may have")
    scheduler: str = Field(default="ecf", min_length=1, description="'scheduler': which one")
    congestion: str = Field(default="reno", min_length=1, description="'congestion': which one")
    core: int = Field(default=0, ge=0, le=4095, description="'core': which one")
    time_limit_s: float = Field(default=120.0, gt=0, le=3600, description="seconds that a download may take")


class WhySlower(Experiment[WhySlowerParameters]):
    """TCP on each path, MPTCP on all, and MPTCP with one thing changed."""

    name = "why-slower"
    title = "Why MPTCP is slower than TCP, or not"
    topology = "wifi-3g"
    stacks = ("kernel-tcp", "kernel-mptcp", "python-tcp", "python-mptcp")
    figure = "why_slower"
    limits = (
        "Both ends, and what emulates the links, share the processors of one machine; 'core' leaves one of them to "
        "the programs, and the others to the links. One download at a time: what many do to each other is not seen."
    )
    scales: ClassVar[Mapping[str, WhySlowerParameters]] = {
        "quick": WhySlowerParameters(repetitions=5, size=2_000_000),
        "paper": WhySlowerParameters(repetitions=20, size=16_000_000),
    }

    @cached_property
    def network(self) -> Topology:
        """The topology as it is."""
        return super().topology_of({})

    @cached_property
    def ways(self) -> dict[str, list[Link]]:
        """By name of the client's link on it, the links of each path, the first path first."""
        return ways(self.network)

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return TCP over each path, and MPTCP as it is and with each change; by network, so that they share labs."""
        return [
            Point(stack, repetition, {"path": path, "change": change}, {_NETWORK: network} if network else {})
            for stack in stacks
            for network, variants in self._variants(stack).items()
            for repetition in range(1, self.parameters.repetitions + 1)
            for path, change in variants
        ]

    def _variants(self, stack: str) -> dict[str, list[tuple[str, str]]]:
        """By what is changed of the network ("" for nothing), the paths and changes of the points of `stack`."""
        if is_tcp(stack):
            return {name if number else "": [(name, NONE)] for number, name in enumerate(self.ways)}
        changes = [NONE, *(name for name in CHANGES if _takes(stack, CHANGES[name].settings(self._asked)))]
        here = {"": [(ALL, change) for change in changes]}
        return here | {name: [(ALL, name)] for name, change in NETWORKS.items() if change(self.network) != self.network}

    @property
    def _asked(self) -> Asked:
        own = self.parameters
        return Asked(own.buffer, own.scheduler, own.congestion, own.core)

    def rendered_with(self, varied: Mapping[str, Scalar]) -> dict[str, object]:
        """Return what the template is rendered with: what is changed of the network is none of its parameters."""
        return super().rendered_with(_without_network(varied))

    def check_template(self, variants: Iterable[Mapping[str, Scalar]]) -> None:
        """Raise LabError for what the user may not set of the topology."""
        super().check_template(map(_without_network, variants))

    def topology_of(self, varied: Mapping[str, Scalar]) -> Topology:
        """Return the topology with what a point changes of it. Raises LabError when it is not as it must be."""
        topology, asked = super().topology_of(varied), str(varied.get(_NETWORK, ""))
        if change := NETWORKS.get(asked):
            return change(topology)
        return first(topology, asked) if asked else topology

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Download, with the point's change."""
        load = BulkLoad("download", limit_bytes=self.parameters.size, time_limit_s=self.parameters.time_limit_s)
        change = CHANGES.get(str(point.factors["change"]))
        if change is None:
            return bench.measure(bulk, load)
        with change.made(bench, point.stack, self._asked) as changed:
            return changed.measure(bulk, load)

    def placement(self, point: Point) -> Placement:
        """Return one core for both programs where that is the change."""
        usual, core = super().placement(point), self.parameters.core
        alone = {"process_cpus": f"{CLIENT}:{core},{SERVER}:{core}"} if point.factors["change"] == "core" else {}
        return usual.model_copy(update=alone)

    def expected_seconds(self, point: Point) -> float:
        """Return the time that the path needs by its rate, or all by theirs, and that to start the programs."""
        rates = {
            name: min(link.directions[1].capacity_bps or _UNSHAPED_BPS for link in way)
            for name, way in self.ways.items()
        }
        rate_bps = rates.get(str(point.factors["path"])) or sum(rates.values())
        rounds_s = 10 * max(map(round_trip_ns, self.ways.values())) / 1e9
        return _START_S + rounds_s + 1.1 * self.parameters.size * 8 / rate_bps


def is_tcp(stack: str) -> bool:
    """Tell whether `stack` has one path: whether it is none of MPTCP."""
    made = create(stack)
    return isinstance(made, PythonTcp) or not isinstance(made, PythonMptcp | KernelMptcp)


def _takes(stack: str, settings: str) -> bool:
    """Tell whether there is such a stack: the kernel's has no scheduler by name."""
    with suppress(LabError):
        create(f"{stack}{settings}")
        return True
    return False


def _without_network(varied: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {name: value for name, value in varied.items() if name != _NETWORK}
