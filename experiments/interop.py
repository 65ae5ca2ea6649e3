"""Our stack with the kernel's MPTCP as its peer, feature by feature: the matrix of `./lab interop` as a picture.

Each cell is a scenario of one feature between the two stacks, in hosts and networks of its own, with ours as the client
or as the server, over IPv4, IPv6, or begun on one and joined on the other. A cell passes when both applications got
every byte, the counters of both sides and the options on the wire are as the scenario says, and tshark found no packet
malformed. It is impossible where the kernel shows, by its counters, that it does not have the feature.

The talk's stack had but itself as a peer: version 1 of the protocol and its other implementation came later. So there
is no figure to compare with; what is shown is that the security, IPv6, 64-bit data sequence numbers and MP_FASTCLOSE
that the talk names are understood by somebody who did not write them here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from testbed.errors import LabError
from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar, names_of
from testbed.interop.features import GROUPS
from testbed.interop.run import EXPECTED_S, playing, select
from testbed.interop.scenario import FAMILIES, Cell
from testbed.runs.results import FAILED, UNSUPPORTED
from testbed.stacks.base import common_build
from testbed.stacks.measure import Measurement

STACK = "python-mptcp"


class InteropParameters(Parameters):
    """What can be set."""

    families: Annotated[tuple[str, ...], names_of("family", FAMILIES)] = Field(
        default=tuple(FAMILIES), description="IP versions over which every group of features is played"
    )
    mixed: Annotated[tuple[str, ...], names_of("group", GROUPS)] = Field(
        default=(), description="groups played begun over IPv4 and joined over IPv6 too"
    )
    at_once: int = Field(default=0, ge=0, le=1024, description="cells at a time; 0: one for each core")


class Interop(Experiment[InteropParameters]):
    """The matrix of features, roles and IP versions."""

    name = "interop"
    title = "Interoperability with the kernel's MPTCP"
    topology = "dual-stack"
    stacks = (STACK,)
    figure = "interop"
    repeats = "what the talk lists as implemented, against the kernel of today"
    needs = ("kernel MPTCP", "tshark")
    limits = (
        "One kernel, the one that runs, is the peer. Its keys cannot be chosen, so its data sequence numbers do not "
        "cross 2**32 here (ours do); tests in the simulator cover that, and 2**64. Links have the machine's own speed."
    )
    scales: ClassVar[Mapping[str, InteropParameters]] = {
        "quick": InteropParameters(repetitions=1, families=("v4",), mixed=("addresses",)),
        "paper": InteropParameters(repetitions=1),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return links without a rate."""
        return {"rate": "none"}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every group over each of its families. Raises LabError for another stack than ours."""
        for stack in stacks:
            if stack != STACK:
                raise LabError(f"interop: stack '{stack}': the peer of the kernel's MPTCP can only be {STACK}")
        parameters = self.parameters
        return [
            Point(stack, repetition, {"group": group, "family": family})
            for stack in stacks
            for group in GROUPS
            for family in FAMILIES
            if family in parameters.families or (family == "v4+v6" and group in parameters.mixed)
            for repetition in range(1, parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Play the cells of a group over one family, in both roles."""
        cells = cells_of(point)
        records = []
        with playing(cells, bench.directory / "cells", self._at_once) as outcomes:
            for record in outcomes:
                records.append(record)
                bench.progress(len(records) / len(cells))
        outcomes_by_feature: dict[str, dict[str, str]] = {}
        for record in records:
            outcomes_by_feature.setdefault(record["feature"], {})[record["ours"]] = record["outcome"]
        impossible = {f"{one['feature']}: {'; '.join(one['why'])}" for one in records if one["outcome"] == UNSUPPORTED}
        problems = [
            f"{one['feature']}, ours is {one['ours']}: {'; '.join(one['why'])}"
            for one in records
            if one["outcome"] == FAILED
        ]
        result = {"cells": outcomes_by_feature, "impossible": "; ".join(sorted(impossible))}
        return Measurement(result, problems, {}, {}, {}, build=common_build(records))

    def expected_seconds(self, point: Point) -> float:
        """Return the time of the cells, so many at a time."""
        return EXPECTED_S * len(cells_of(point)) / self._at_once

    @property
    def _at_once(self) -> int:
        return self.parameters.at_once or len(os.sched_getaffinity(0))


def cells_of(point: Point) -> list[Cell]:
    """Return the cells of a point, in the order of the table."""
    names = [scenario.name for scenario in GROUPS[str(point.factors["group"])]]
    return select(names, [str(point.factors["family"])], ())
