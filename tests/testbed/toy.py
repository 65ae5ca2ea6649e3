"""A tiny experiment over a lab that is only pretended, written against the public interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

from testbed.calibrate import Calibration
from testbed.experiment import Bench, Experiment, Parameters, Point
from testbed.placement import Placement
from testbed.runs.runner import Environment
from testbed.spec import Topology
from testbed.stacks import create
from testbed.stacks.base import StackUnderTest
from testbed.stacks.measure import Measurement


class ToyParameters(Parameters):
    sizes: tuple[int, ...] = (10, 20)


class Toy(Experiment[ToyParameters]):
    """Its measurement is twice the size; `react` is called first and may raise or return problems."""

    name = "toy"
    title = "Toy"
    topology = "two-paths"
    stacks = ("kernel-tcp", "python-tcp")
    figure = "ab_microflows"
    scales: ClassVar[Mapping[str, ToyParameters]] = {"quick": ToyParameters(repetitions=2)}

    def __init__(self, parameters: ToyParameters) -> None:
        super().__init__(parameters)
        self.measured: list[str] = []
        self.react: Callable[[Point], list[str] | None] = lambda point: None
        self.build: str | None = None

    def points(self, stacks: Sequence[str]) -> list[Point]:
        return [
            Point(stack, repetition, {"size_bytes": size})
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for size in self.parameters.sizes
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        (bench.directory / "raw.txt").write_text(point.key)
        problems = self.react(point) or []
        self.measured.append(point.key)
        bench.progress(1.0)
        size = int(point.factors["size_bytes"])
        result = {"doubled": 2 * size, "nested": {"half": size / 2}}
        return Measurement(result, problems, {"client": {"Ip": 1}}, {}, {}, build=self.build)


def toy() -> Toy:
    return Toy(Toy.scales["quick"])


class PretendedLab:
    def calibrate(self) -> list[Calibration]:
        return [Calibration("path1", "client->server", 50_000_000, 49_900_000, 0.05)]

    @contextmanager
    def placed(self, placement: Placement) -> Iterator[dict[str, Any]]:
        yield {"asked": placement.model_dump()}

    def seed_links(self, seed: int) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"calibration": [asdict(one) for one in self.calibrate()], "sysctls": {}}


class Pretended:
    """Labs and stacks that cost nothing; `opened` lists the labs that were built."""

    def __init__(self) -> None:
        self.opened: list[Topology] = []
        self.closed = 0
        self.prepare: Callable[[], None] = lambda: None

    @property
    def environment(self) -> Environment:
        return Environment(self._open_lab, self._create_stack)

    @contextmanager
    def _open_lab(self, topology: Topology) -> Iterator[Any]:
        self.opened.append(topology)
        try:
            yield PretendedLab()
        finally:
            self.closed += 1

    def _create_stack(self, name: str) -> StackUnderTest:
        stack = create(name)
        stack.prepare = lambda lab: self.prepare()  # type: ignore[method-assign]
        return stack
