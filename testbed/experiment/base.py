"""What an experiment is: a subclass of `Experiment`, with its parameters, its points and what it measures them with."""

from __future__ import annotations

import copy
import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from testbed.collectors.collection import NOTHING, Wanted
from testbed.errors import LabError
from testbed.experiment.replaced import check_ends, check_parameters, declared
from testbed.input.validation import FieldError, Frozen, unknown
from testbed.placement import Placement
from testbed.spec.templates import load_topology, template_header
from testbed.units import quantity_of

if TYPE_CHECKING:
    from testbed.lab import Lab
    from testbed.spec import Topology
    from testbed.stacks import StackUnderTest
    from testbed.stacks.measure import Measurement

Scalar = str | int | float


def _split(value: Any) -> Any:
    return [item for item in value.split(",") if item.strip()] if isinstance(value, str) else value


MOST_VALUES = 100
"""Of a parameter that is a list."""
MOST_POINTS = 30_000
"""Of a run: more than a month of the shortest ones, and planned within seconds."""

PositiveInts = Annotated[tuple[Annotated[int, Field(gt=0, le=10**9)], ...], BeforeValidator(_split)]
"""A list of positive integers; on the command line joined by commas."""


def names_of(kind: str, allowed: Collection[str]) -> BeforeValidator:
    """Return what makes a field a list of names out of `allowed`; on the command line joined by commas.

    To be used as ``Annotated[tuple[str, ...], names_of("row", ROWS)]``.
    """

    def check(value: Any) -> Any:
        names = tuple(_split(value))
        for name in names:
            if name not in allowed:
                raise ValueError(unknown(kind, name, allowed))
        return names

    return BeforeValidator(check)


class Repetition(Frozen):
    """How often every point is measured, and where its dice begin."""

    repetitions: int = Field(ge=1, le=1000, description="how often every point is measured")
    seed: int = Field(default=1, ge=0, lt=2**63, description="where the dice begin")


class Parameters(Placement, Repetition):
    """The parameters every experiment has; an experiment adds its own in a subclass.

    Each has a `description`, which `./lab plan` shows. A quantity is one of the types of testbed.units.
    """

    topology: str = Field(default="", description="name or file of another topology; empty: the experiment's own")

    @model_validator(mode="after")
    def _lists_have_an_end(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) > MOST_VALUES:
                raise FieldError(name, f"must have at most {MOST_VALUES} values, not {len(value)}")
        return self


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Point:
    """One measurement: a stack, the factors that are varied, and the number of the repetition (from 1).

    `topology` holds the topology parameters of this point that differ from the experiment's own.
    """

    stack: str
    repetition: int
    factors: Mapping[str, Scalar] = field(default_factory=dict)
    topology: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of the point in file names; unique within a run directory."""
        factors = [f"{name}-{value}" for name, value in self.factors.items()]
        return ".".join([self.stack.replace(":", "-"), *factors, f"r{self.repetition}"]).replace("/", "-")


@dataclass(frozen=True)
class Bench:
    """What an experiment measures a point with.

    `directory` takes raw files. `seed` is this point's own, derived from the experiment's. `placement` says
    which processors the programs are pinned to. `progress` is told the share of the point that is done, 0 to 1.
    `collect` names the collectors that watch the load.
    """

    lab: Lab
    stack: StackUnderTest
    directory: Path
    seed: int
    placement: Placement
    progress: Callable[[float], None]
    collect: Wanted = NOTHING

    def measure(self, measuring: Callable[..., Measurement], load: Any) -> Measurement:
        """Return what `measuring` (a function of testbed.stacks.measure) gives for `load` on this bench."""
        return measuring(
            self.lab, self.stack, load, self.directory,
            placement=self.placement, progress=self.progress, collect=self.collect,
        )  # fmt: skip


class Experiment(ABC, Generic[P]):
    """One experiment with its parameters resolved."""

    name: ClassVar[str]
    title: ClassVar[str]
    topology: ClassVar[str]
    """Name of a template in topologies/."""
    stacks: ClassVar[tuple[str, ...]]
    """The stacks under test, in the order in which they are shown."""
    figure: ClassVar[str] = "general"
    """Name of the module in analysis.figures that draws the results; beside a `draw(run)` in an own file, "general"."""
    shows: ClassVar[tuple[str, ...]] = ()
    """Results that the general figure and table show, by name; all numbers, as far as there is room, when empty."""
    repeats: ClassVar[str] = ""
    """Which paper, talk or text reported what is measured here, in a few words; empty for none."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What it needs of the machine beside root and what its stacks need."""
    limits: ClassVar[str] = ""
    """What the laboratory cannot reach of the setting that is repeated, and what was scaled; for the report."""
    scales: ClassVar[Mapping[str, Parameters]]
    """Values of all parameters by name of the scale; the first one is the default."""
    short_of: ClassVar[str] = ""
    """The experiment of which this one is a short form, with the same figure: running all leaves it out."""
    collectors: ClassVar[tuple[str, ...]] = ()
    """Collectors that every point needs: it does not pass without them (see testbed.collectors)."""

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters
        self.template = parameters.topology or self.topology
        self.asked: tuple[str, ...] = ()
        """Names of parameters that the user set."""
        self.template_settings: Mapping[str, str] = {}
        """What the user set of the topology's own parameters."""

    @abstractmethod
    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every point to measure on `stacks`, in order; neighbours with one stack share a lab."""

    @abstractmethod
    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Measure `point` and return its result (JSON values; units in the names).

        Raises LabError for what went wrong, Unsupported for what this machine or stack cannot do.
        """

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the parameters that the topology's template is rendered with; see also `written`."""
        return {}

    def written(self, *names: str) -> dict[str, Scalar]:
        """Return parameters by name as a person writes them, with units: as a template takes them."""
        fields = type(self.parameters).model_fields
        values = {name: getattr(self.parameters, name) for name in names}
        kinds = {name: quantity_of(fields[name]) for name in names}
        return {name: kind.write(values[name]) if (kind := kinds[name]) else values[name] for name in names}

    def settings(self, *names: str) -> dict[str, str]:
        """Return parameters by name as `--set` takes them."""
        written = self.written(*names).items()
        return {name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in written}

    def rendered_with(self, varied: Mapping[str, Scalar]) -> dict[str, object]:
        """Return what the template is rendered with for points that differ by `varied`: of a replaced one, what it has.

        The user's own settings of the topology come last.
        """
        given: dict[str, object] = {**self.topology_parameters(), **varied}
        if self.template != self.topology:
            given = declared(template_header(self.template), given)
        return {**given, **self.template_settings}

    def topology_of(self, varied: Mapping[str, Scalar]) -> Topology:
        """Return the topology of points that differ by `varied`. Raises LabError when it is not as it must be."""
        rendered = self.arrange(load_topology(self.template, self.rendered_with(varied)))
        if self.template != self.topology:
            check_ends(rendered, self.template)
        return rendered

    def arrange(self, topology: Topology) -> Topology:
        """Return `topology` as the lab is to be built; by default as it is."""
        return topology

    def check_template(self, variants: Iterable[Mapping[str, Scalar]]) -> None:
        """Raise LabError for what a replaced topology lacks, and for what the user may not set of it."""
        header, given = template_header(self.template), self.topology_parameters()
        varied = list(dict.fromkeys(name for variant in variants for name in variant))
        if self.template != self.topology:
            check_parameters(self.template, header, varied, list(given), self.asked)
        for name in self.template_settings:
            if name in (*varied, *given):
                raise LabError(f"--set {name}: {self.name} sets this itself, see the parameters of 'plan'")

    def placement(self, point: Point) -> Placement:
        """Return which cores do what while `point` is measured; by default what the parameters say."""
        return Placement(**{field: getattr(self.parameters, field) for field in Placement.model_fields})

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what makes `measurement` invalid, in the user's words; by default what the stack found."""
        return measurement.problems

    def expected_seconds(self, point: Point) -> float:
        """Return roughly how long `point` takes, for the estimate of the remaining time."""
        return 5.0

    def needs_our_stack(self, stack: StackUnderTest) -> bool:
        """Tell whether points of `stack` depend on the code in mptcp_stack/; by default those of our own stack do."""
        return stack.is_ours

    def more_code(self, stack: str) -> Sequence[str]:
        """Return what else of the project points of `stack` depend on, beside testbed/ and the experiment's own file.

        Named as in `analysis.code`. What the experiment's file imports is found without.
        """
        return ()

    def method(self) -> str:
        """Return how it is measured, for the report: what the experiment's file says at its top."""
        return inspect.getdoc(inspect.getmodule(type(self))) or ""

    def specification(self) -> dict[str, Any]:
        """Return what names the run directory: everything that was asked, as JSON values.

        Topologies are in it as rendered: results never outlive a change of their template.
        Raises LabError when a topology is not valid with these parameters.
        """
        variants = sorted({tuple(point.topology.items()) for point in self.points(self.stacks)})
        self.check_template(map(dict, variants))
        return {
            "experiment": self.name,
            "parameters": self.parameters.model_dump(mode="json", exclude={"topology"}),
            "topologies": [self.topology_of(dict(variant)).model_dump(mode="json") for variant in variants],
        }

    def check_size(self, stacks: Sequence[str]) -> None:
        """Raise LabError when there are more than MOST_POINTS points on `stacks`, without making them all."""
        once = copy.copy(self)
        once.parameters = self.parameters.model_copy(update={"repetitions": 1})
        number = len(once.points(stacks)) * self.parameters.repetitions
        if number > MOST_POINTS:
            raise LabError(f"{self.name}: {number} points; at most {MOST_POINTS}: fewer repetitions, values or stacks")

    def point_seed(self, point: Point) -> int:
        """Return the 32-bit seed of `point`, the same for every stack: all see the same chances."""
        text = f"{self.parameters.seed} {sorted(point.factors.items())} {point.repetition}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
