"""Runs an experiment: plans its points, measures the missing ones, checks and keeps every result.

Points that passed are not measured again as long as their code is the same (`testbed.runs.code`); stale ones, of other
code, are, and failed, unsupported and interrupted ones, at the next call.
Points that follow one another on one stack and one topology share a lab. What is wrong with one point (a
failed check, a broken program) fails the run but not the other points; a lab that this machine cannot build stops
it. One that is there, but not as asked, costs its points alone, and is built once more at the end: on a busy machine
its calibration may have been at fault.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.collectors.collection import Wanted
from testbed.errors import LabError, Unsupported
from testbed.experiment import Bench, Experiment, Point, own
from testbed.input.plugins import blamed
from testbed.placement.apply import check_cpus
from testbed.runs.code import OUR_STACK, Code, differing
from testbed.runs.formats import (
    FORMAT,
    CodeVersion,
    LabRecord,
    Manifest,
    Network,
    PointRecord,
    RunOutcome,
    Session,
    Specification,
)
from testbed.runs.provenance import provenance
from testbed.runs.results import FAILED, INCOMPLETE, PASSED, UNSUPPORTED, RunDirectory, write_json
from testbed.show import labels
from testbed.stacks import StackUnderTest, create, own_labels
from testbed.stacks.base import CLIENT, SERVER

if TYPE_CHECKING:
    from testbed.lab import Lab
    from testbed.show.progress import Display
    from testbed.spec import Topology


NOT_AS_ASKED = 1
"""Exit code of a LabError about a lab that could be built and is not as asked."""


@contextmanager
def open_lab(topology: Topology) -> Iterator[Lab]:
    """Build the lab of a topology; the private namespace must have been entered."""
    from testbed.lab import Lab

    with Lab(topology) as lab:
        yield lab


@dataclass(frozen=True)
class Environment:
    """Where labs and stacks come from."""

    open_lab: Callable[[Topology], AbstractContextManager[Lab]] = open_lab
    create_stack: Callable[[str], StackUnderTest] = create


@dataclass(frozen=True)
class Standing:
    """Keys of points, in order: `passed` with the code that is here, `stale` with other code (and what of it differs).

    `new` are those not measured, or not passed.
    """

    passed: list[str]
    stale: dict[str, list[str]]
    new: list[str]


class Plan:
    """The points of an experiment on the chosen stacks, and which of them are still to be measured.

    `collect`: collectors besides the experiment's own. A run with them has a directory of its own: they cost time.
    `reuse`: keep points of other code. `code`: as this program found it first, if it has made plans before.
    """

    def __init__(
        self,
        experiment: Experiment[Any],
        root: Path,
        scale: str | None = None,
        stacks: Sequence[str] = (),
        collect: Sequence[str] = (),
        reuse: bool = False,
        code: Code | None = None,
    ) -> None:
        self.experiment = experiment
        self.scale = scale or next(iter(experiment.scales))
        self.stacks = tuple(stacks) or experiment.stacks
        experiment.check_size(self.stacks)
        self.points = experiment.points(self.stacks)
        self.collect = Wanted(experiment.collectors, tuple(collect))
        watched = {"collectors": list(collect)} if collect else {}
        self.directory = RunDirectory(root, experiment.name, experiment.specification() | watched)
        earlier = self.directory.manifest()
        own.check_place(experiment, earlier and earlier.file, self.directory.path)
        self.reuse = reuse
        self.code = code or Code()
        created = {stack: create(stack) for stack in dict.fromkeys(point.stack for point in self.points)}
        self._parts = {
            name: self.code.parts(experiment, name, stack, self.directory.specification)
            for name, stack in created.items()
        }
        self.builds = {name: stack.build for name, stack in created.items() if OUR_STACK in self._parts[name]}
        """By stack whose points depend on ours, which build of it they are of."""

    def __repr__(self) -> str:
        if "_parts" not in vars(self):
            return "<Plan not made>"
        return f"<Plan {self.experiment.name} {self.scale}, {len(self.points)} points, {len(self.stacks)} stacks>"

    def parts(self, point: Point) -> dict[str, str]:
        """Return the code that `point` is measured with (see `testbed.runs.code`)."""
        return self._parts[point.stack]

    def title(self) -> str:
        """Return what figures and tables are called; of another topology than the experiment's own they say so."""
        experiment = self.experiment
        if experiment.template == experiment.topology:
            return experiment.title
        name = Path(experiment.template).name.removesuffix(".yaml.j2")
        return f"{experiment.title} (on {name} in place of {experiment.topology})"

    def method(self) -> str:
        """Return how it is measured, for the report: the experiment's own text, and what was not as that has it."""
        experiment = self.experiment
        usual, asked = (one.model_dump(mode="json") for one in (experiment.scales[self.scale], experiment.parameters))
        changed = [name for name in asked if asked[name] != usual[name] and name != "topology"]
        others = [f"{name} = {value}" for name, value in experiment.settings(*changed).items()]
        others += [f"{name} = {value} of the topology" for name, value in experiment.template_settings.items()]
        if experiment.template != experiment.topology:
            others.insert(0, f"the topology {Path(experiment.template).name} in place of {experiment.topology}")
        if not others:
            return experiment.method()
        return f"{experiment.method()}\n\nNot as the text has it, but as asked for: {', '.join(others)}."

    def records(self) -> list[PointRecord]:
        """Return the records of all points measured so far, of other stacks too, in order."""
        earlier = self.directory.manifest()
        stacks = dict.fromkeys((*self.experiment.stacks, *(earlier.stacks if earlier else ()), *self.stacks))
        records = (self.directory.point(point.key) for point in self.experiment.points(tuple(stacks)))
        return [record for record in records if record is not None]

    def standing(self, records: Sequence[PointRecord] | None = None) -> Standing:
        """Return which of the chosen points passed, and which of them are stale (`records`: all, if at hand)."""
        found = {record.key: record for record in (self.records() if records is None else records)}
        standing = Standing([], {}, [])
        for point in self.points:
            record = found.get(point.key)
            if record is None or record.outcome != PASSED:
                standing.new.append(point.key)
            elif parts := differing(record.code, self.parts(point)):
                standing.stale[point.key] = parts
            else:
                standing.passed.append(point.key)
        return standing

    def pending(self) -> list[Point]:
        """Return the points that are to be measured, in order: all but those that passed, stale ones too if asked."""
        standing = self.standing()
        done = {*standing.passed, *(standing.stale if self.reuse else ())}
        return [point for point in self.points if point.key not in done]

    def outcome(self, records: Sequence[PointRecord] | None = None) -> RunOutcome:
        """Return how the chosen points stand together; stale ones count as not measured unless they are reused."""
        records = self.records() if records is None else records
        outcomes: dict[str, RunOutcome] = {record.key: record.outcome for record in records}
        if not self.reuse:
            outcomes |= dict.fromkeys(self.standing(records).stale, INCOMPLETE)
        found = {outcomes.get(point.key, INCOMPLETE) for point in self.points}
        worst_first: tuple[RunOutcome, ...] = (FAILED, INCOMPLETE, PASSED, UNSUPPORTED)
        return next(outcome for outcome in worst_first if outcome in found)


class Runner:
    """Measures what is pending of one plan."""

    def __init__(self, plan: Plan, display: Display, environment: Environment | None = None) -> None:
        self._plan = plan
        self._display = display
        self._environment = environment or Environment()
        self._manifest: Manifest
        self._session: Session
        self._measured: set[str] = set()

    def __repr__(self) -> str:
        if "_measured" not in vars(self):
            return "<Runner not made>"
        plan, measured = self._plan, len(self._measured)
        return f"<Runner {plan.experiment.name} {plan.scale}, {measured} points measured, {len(plan.points)} planned>"

    def run(self) -> str:
        """Measure every pending point; return the run's outcome.

        Raises LabError when a lab cannot be built as asked, KeyboardInterrupt when the user stopped it; in
        both cases the points measured so far are kept.
        """
        plan = self._plan
        with plan.directory.locked():
            pending = plan.pending()
            if not pending:
                # A run killed at its very end has left them behind its last point.
                if (manifest := plan.directory.manifest()) is not None:
                    self._manifest = manifest
                    self._write()
                return plan.outcome()
            for placement in {plan.experiment.placement(point) for point in pending}:
                check_cpus(placement)
            self._begin(pending)
            expected_s = sum(plan.experiment.expected_seconds(point) for point in pending)
            self._display.begin(len(pending), expected_s)
            try:
                self._measure_groups(self._measure_groups(pending, again=True), again=False)
            finally:
                self._display.end()
                self._end()
        return plan.outcome()

    def _begin(self, pending: Sequence[Point]) -> None:
        plan = self._plan
        earlier = plan.directory.manifest()
        parts = {part: known for point in pending for part, known in plan.parts(point).items()}
        plan.code.copy(parts, plan.directory.path)
        self._session = Session(began=_now(), command_line=sys.argv, **provenance(), code=parts)
        self._manifest = Manifest(
            format=FORMAT,
            experiment=plan.experiment.name,
            title=plan.title(),
            method=plan.method(),
            limits=plan.experiment.limits,
            figure=plan.experiment.figure,
            shows=list(plan.experiment.shows),
            file=own.file_of(plan.experiment),
            scale=plan.scale,
            hash=plan.directory.hash,
            specification=Specification(**plan.directory.specification),
            stacks=list(dict.fromkeys((*(earlier.stacks if earlier else ()), *plan.stacks))),
            labels={**(earlier.labels if earlier else {}), **own_labels(plan.stacks)},
            collectors=asdict(plan.collect),
            sessions=[*(earlier.sessions if earlier else ()), self._session],
            labs=list(earlier.labs if earlier else ()),
        )
        self._write()

    def _end(self) -> None:
        self._session.ended = _now()
        self._write()

    def _write(self) -> None:
        """Bring results.csv and manifest.json up to what the points' own records say."""
        records = self._plan.records()
        self._plan.directory.write_table(records)
        manifest = self._manifest
        manifest.outcome = self._plan.outcome(records)
        manifest.why = [f"{record.key}: {why}" for record in records for why in record.why]
        manifest.points = {record.key: record.summary() for record in records}
        manifest.code = _code_versions(records)
        manifest.networks = _networks(records, manifest.labs)
        write_json(self._plan.directory.manifest_path, manifest)

    def _measure_groups(self, points: Sequence[Point], *, again: bool) -> list[Point]:
        """Measure `points`; return those whose lab was not as asked, if they may be tried `again`."""
        left: list[Point] = []
        errors: list[LabError] = []
        for _, group in itertools.groupby(points, lambda point: (point.stack, point.topology)):
            chosen = list(group)
            try:
                self._measure_group(chosen)
            except LabError as error:
                if error.exit_code != NOT_AS_ASKED:
                    raise
                errors.append(error)
                left += [point for point in chosen if point.key not in self._measured]
        if errors and not again:
            raise errors[0]
        return left

    def _measure_group(self, points: Sequence[Point]) -> None:
        """Measure points that share a stack and a topology in one lab."""
        experiment, first = self._plan.experiment, points[0]
        parameters, topology = experiment.rendered_with(first.topology), experiment.topology_of(first.topology)
        stack = self._environment.create_stack(first.stack)
        self._display.stage(f"building {experiment.template} for {first.stack}")
        with self._environment.open_lab(topology) as lab:
            lab.calibrate()
            refusal = self._prepare(stack, lab)
            self._manifest.labs.append(
                LabRecord(
                    began=_now(),
                    stack=stack.name,
                    congestion=stack.congestion,
                    parameters=parameters,
                    **_network(topology),
                    **lab.describe(),
                )
            )
            for point in points:
                self._measure(point, lab, stack, refusal)

    @staticmethod
    def _prepare(stack: StackUnderTest, lab: Lab) -> LabError | None:
        """Prepare `stack`; return what kept it from being ready, which is then the fate of its points."""
        try:
            stack.prepare(lab)
        except LabError as error:
            return error
        return None

    def _measure(self, point: Point, lab: Lab, stack: StackUnderTest, refusal: LabError | None) -> None:
        """Measure one point and write its record; only KeyboardInterrupt and its like come through."""
        experiment = self._plan.experiment
        self._display.point_begins(point.key, experiment.expected_seconds(point))
        began, clock = _now(), time.monotonic()
        parts = self._plan.parts(point)
        self._plan.code.require_unchanged(parts)
        with self._plan.directory.writing(point.key) as directory:
            bench = Bench(
                lab,
                stack,
                directory,
                experiment.point_seed(point),
                experiment.placement(point),
                self._display.point_progress,
                self._plan.collect,
            )
            verdict = self._attempt(bench, point, refusal)
            self._plan.code.require_unchanged(parts)
            record = PointRecord(
                key=point.key,
                stack=point.stack,
                repetition=point.repetition,
                factors=dict(point.factors),
                topology=dict(point.topology),
                **_as_json(asdict(verdict)),
                began=began,
                seconds=round(time.monotonic() - clock, 3),
                seed=bench.seed,
                session=len(self._manifest.sessions) - 1,
                lab=len(self._manifest.labs) - 1,
                code=parts,
            )
            write_json(directory / "point.json", record)
        self._measured.add(point.key)
        self._write()
        self._display.point_ends(record.key, record.outcome, record.why, record.seconds)

    def _attempt(self, bench: Bench, point: Point, refusal: LabError | None) -> _Verdict:
        """Measure and check one point."""
        experiment = self._plan.experiment
        try:
            if refusal is not None:
                raise refusal
            bench.lab.seed_links(bench.seed)
            with bench.lab.placed(bench.placement) as placement:
                measurement = experiment.run_point(bench, point)
            problems = [*experiment.checks(point, measurement), *self._build_problems(point, measurement.build)]
        except Unsupported as error:
            return _Verdict(UNSUPPORTED, [error.message])
        except LabError as error:
            return _Verdict(FAILED, [error.message])
        except Exception as error:
            # A mistake in an experiment must not cost the other points their night.
            (bench.directory / "error.txt").write_text(traceback.format_exc())
            return _Verdict(FAILED, [f"{blamed(error)} (see error.txt)"])
        outcome = FAILED if problems else PASSED
        return _Verdict(
            outcome,
            problems,
            measurement.result,
            measurement.counters,
            measurement.paths,
            measurement.stacks,
            measurement.links,
            measurement.collectors,
            placement,
            measurement.build,
        )

    def _build_problems(self, point: Point, said: str | None) -> list[str]:
        """Return whether programs ran another build of our stack than the point is recorded as."""
        asked = self._plan.builds.get(point.stack)
        return [] if said in (None, asked) else [f"our stack's build: {asked} was asked for, programs ran {said}"]


@dataclass(frozen=True)
class _Verdict:
    """How a point ended and why, and what was measured."""

    outcome: str
    why: list[str]
    result: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, Any] = field(default_factory=dict)
    stacks: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Any] = field(default_factory=dict)
    collectors: Mapping[str, Any] = field(default_factory=dict)
    placement: Mapping[str, Any] = field(default_factory=dict)
    build: str | None = None


def _code_versions(records: Sequence[PointRecord]) -> list[CodeVersion]:
    """Return each version of the code that points were measured with."""
    found: list[CodeVersion] = []
    for record in records:
        same = next((one for one in found if one.parts == record.code), None)
        if same is None:
            found.append(same := CodeVersion(parts=record.code, points=0))
        same.points += 1
        if record.stack not in same.stacks:
            same.stacks.append(record.stack)
    return found


def _network(topology: Topology) -> dict[str, Any]:
    """Return what figures say of a lab's network (`testbed.runs.formats.Network`)."""
    rates = [link.directions[0].capacity_bps or 0 for link in topology.links]
    ends = all({end.host for end in link.ends} == {CLIENT, SERVER} for link in topology.links)
    return {
        "network": labels.network(topology),
        "rates_and_delays": labels.rates_and_delays(topology),
        "link_names": [link.name for link in topology.links],
        "between_ends_bps": rates if ends else [],
        "slowest_bps": min(filter(None, rates), default=0),
    }


def _networks(records: Sequence[PointRecord], labs: Sequence[LabRecord]) -> list[Network]:
    """Return each network that points were measured on, with the factors of its points."""
    found: dict[str, Network] = {}
    for record in records:
        lab = labs[record.lab] if record.lab < len(labs) else LabRecord()
        if lab.network is None:  # of before labs were described
            continue
        words = {name: getattr(lab, name) for name in Network.model_fields if name != "factors"}
        factors = found.setdefault(lab.network, Network(**words, factors={})).factors
        for name, value in record.factors.items():
            if value not in factors.setdefault(name, []):
                factors[name].append(value)
    return list(found.values())


def _as_json(document: Any) -> Any:
    """Return a document as it will be read again: an experiment may have numbers for names, and tuples."""
    return json.loads(json.dumps(document))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
