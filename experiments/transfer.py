"""A bulk transfer, web requests and frames, one after the other, over any topology with a way between two hosts.

The bulk transfer is one connection as fast as it goes, for so many seconds, received bytes counted ten times a second.
The web requests are short connections, so many at a time, each timed from when it was due to its last byte. The frames
are those of an application in real time (a video by default) over one connection, each timed from when it was due to
when the other application had all of it. Rates over time, and the distributions of both times, are what is shown.

The experiment sets nothing of the topology: `--set topology=./mine.yaml.j2`, and its parameters beside that, are all
that it takes. Client and server are the hosts of these names, else the first and the last host that is no router, or
those that are named (`--set client=h1 --set server=h9`); in the lab they are called client and server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from testbed.errors import LabError
from testbed.experiment import Bench, Experiment, Parameters, Point, names_of
from testbed.experiment.replaced import ENDS, check_ends
from testbed.input.validation import unknown
from testbed.loadgen.traffic import parse_model
from testbed.spec import Topology
from testbed.spec.routing import paths
from testbed.stacks.frames import FramesLoad, frames
from testbed.stacks.measure import BulkLoad, HttpLoad, Measurement, bulk, http
from testbed.units import SizeBytes

LOADS = ("bulk", "web", "frames")

MOST_REQUESTS = 10**6
"""Beyond what any link here carries within the time: what ends the requests is the time."""
START_S = 2.0


def _model(text: str) -> str:
    try:
        parse_model(text)
    except LabError as error:
        raise ValueError(error.message) from None
    return text


class TransferParameters(Parameters):
    """What can be set."""

    loads: Annotated[tuple[str, ...], names_of("load", LOADS)] = Field(default=LOADS, description="what is carried")
    seconds: float = Field(gt=0, le=3600, description="seconds of each load")
    direction: Literal["download", "upload"] = Field(
        default="download", description="of the bulk transfer; of a download its rate over time is shown"
    )
    size: SizeBytes = Field(default=30_000, description="size of a web response")
    concurrency: int = Field(default=4, ge=1, le=10_000, description="web requests under way at a time")
    traffic: Annotated[str, AfterValidator(_model)] = Field(
        default="video:rate=500 kbit/s", description="what sends the frames, see docs/loadgen.md"
    )
    client: str = Field(default="", description="host that asks; empty: client, else the first")
    server: str = Field(default="", description="host that answers; empty: server, else the last")


class Transfer(Experiment[TransferParameters]):
    """Bulk, web and frames over any topology."""

    name = "transfer"
    title = "Bulk transfer, web requests and frames"
    topology = "two-paths"
    stacks = ("kernel-tcp", "kernel-mptcp", "python-tcp", "python-mptcp")
    figure = "transfer"
    limits = "Both ends, and what emulates the links, share the processors of one machine."
    scales: ClassVar[Mapping[str, TransferParameters]] = {
        "quick": TransferParameters(repetitions=3, seconds=4),
        "paper": TransferParameters(repetitions=10, seconds=30),
    }

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every load on every stack, all of a stack in one lab."""
        return [
            Point(stack, repetition, {"load": load})
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for load in self.parameters.loads
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Carry one load."""
        parameters = self.parameters
        match point.factors["load"]:
            case "bulk":
                limit_s = 60 + 10 * parameters.seconds
                asked = BulkLoad(parameters.direction, limit_seconds=parameters.seconds, time_limit_s=limit_s)
                return bench.measure(bulk, asked)
            case "web":
                requests = HttpLoad(parameters.size, MOST_REQUESTS, parameters.concurrency, seconds=parameters.seconds)
                return bench.measure(http, requests)
            case _:
                sent = FramesLoad(parameters.traffic, "download", parameters.seconds, seed=bench.seed)
                return bench.measure(frames, sent)

    def arrange(self, topology: Topology) -> Topology:
        """Return the topology with client and server by these names, and the way between them first.

        Raises LabError when a host is not there, or no way.
        """
        hosts = [host.name for host in topology.hosts if not host.forward]
        asked = (self.parameters.client, self.parameters.server)
        for field, name in zip(ENDS, asked, strict=True):
            if name and name not in hosts:
                raise LabError(f"--set {field}: {self.template}: {unknown('host', name, hosts)}")
        if len(hosts) < 2:
            raise LabError(f"{self.template}: a transfer needs two hosts that are no routers; it has {len(hosts)}")
        chosen = [
            name or (end if end in hosts and end not in asked else "") for name, end in zip(asked, ENDS, strict=True)
        ]
        free = [name for name in hosts if name not in chosen]
        client, server = chosen[0] or free[0], chosen[1] or free[-1]
        if client == server:
            raise LabError(f"--set client, server: both are {client}")
        arranged = topology.renamed({client: ENDS[0], server: ENDS[1]})
        check_ends(arranged, self.template, (client, server))
        return _reachable_first(arranged)

    def expected_seconds(self, point: Point) -> float:
        """Return the time of the load, and that to start the programs."""
        return self.parameters.seconds + START_S


def _reachable_first(topology: Topology) -> Topology:
    """Return the topology with a link of the server first that the client reaches: there it is connected to."""
    reached = {server for version in (4, 6) for _, server in paths(topology, version=version)}
    return topology.model_copy(
        update={
            "links": tuple(
                sorted(
                    topology.links,
                    key=lambda link: not any(end.host == ENDS[1] and end.address.ip in reached for end in link.ends),
                )
            )
        }
    )
