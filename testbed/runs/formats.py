"""What `manifest.json`, `point.json` and the rows of `results.csv` say: models of what is written and read again.

Whoever else reads them, the analysis first, does so by the JSON schemas of these models, which are files
(`analysis/formats/`): `python -m testbed.runs.formats` writes them anew. docs/results.md has each name in words.

What may be missing has a default, as in results of earlier versions and in those that come with the project
(docs/kept.md). What is required, renamed or means something else from now on makes another `FORMAT`: files of another
one are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from analysis.files import PLAIN_NAME, replace

FORMAT: Final = 1
"""Version of the layout of run directories (`testbed.runs.results`) and of these files; part of both documents."""

Name = Annotated[str, StringConstraints(pattern=PLAIN_NAME)]
Outcome = Literal["passed", "failed", "unsupported"]
RunOutcome = Literal["passed", "failed", "unsupported", "incomplete"]
Build = Literal["compiled", "pure", "mixed"]
"""Which build of our stack the programs of a point said that they ran; `mixed`: not all the same."""
Scalar = str | int | float | bool | None


class _Part(BaseModel):
    """Base: what else a document has stays as it is."""

    model_config = ConfigDict(extra="allow", strict=True)


class Processors(_Part):
    """`cpu` of a session: the model, the processors that this process might use, and where each is."""

    model: str | None = None
    usable: list[int] = []
    map: list[dict[str, Any]] = []


class Session(_Part):
    """One `run` that measured: when (UTC), how it was called, and on what (`testbed.runs.provenance`)."""

    began: str = ""
    ended: str | None = None
    command_line: list[str] = []
    version: str = ""
    git: dict[str, str | bool | None] = {}
    kernel: str = ""
    python: str = ""
    packages: dict[str, str] = {}
    cpu: Processors = Processors()
    code: dict[str, str] = {}
    build: Build | None = None


class Delivery(_Part):
    """What small packets met on an idle direction of a link (`testbed.calibrate.results.Delivery`)."""

    asked_ms: float
    mean_ms: float
    asked_loss: float
    lost: int
    sent: int = Field(gt=0)


class Depth(_Part):
    """How much a queue took before it dropped; None when it could not be filled."""

    asked_bytes: int
    measured_bytes: int | None


class Calibration(_Part):
    """One direction of one link, as asked and as measured (`testbed.calibrate.results.Calibration`)."""

    link: str
    direction: str
    asked_bps: int = 0
    measured_bps: float = 0
    delivery: Delivery | None = None
    depth: Depth | None = None


class LabRecord(_Part):
    """One lab that was built: for which stack, with which parameters, and as the system says it is (`Lab.describe`).

    `network` and what follows it are as in `Network`, missing in results of before labs were described.
    """

    began: str = ""
    stack: str = ""
    congestion: str | None = None
    parameters: dict[str, Any] = {}
    network: str | None = None
    rates_and_delays: str = ""
    link_names: list[str] = []
    between_ends_bps: list[int] = []
    slowest_bps: int = 0
    calibration: list[Calibration] = []


class Network(_Part):
    """What figures say of a network: all of it, in a few letters, its links by name, and their rates.

    Rates of 0 are of links without one; those between client and server are listed only when there are no others.
    `factors` are those of the points that were measured on it.
    """

    network: str
    rates_and_delays: str
    link_names: list[str]
    between_ends_bps: list[int]
    slowest_bps: int
    factors: dict[str, list[Any]]


class CodeVersion(_Part):
    """A version of the code that points were measured with: the hash of each part, the stacks, how many points."""

    parts: dict[str, str]
    stacks: list[str] = []
    points: int = Field(ge=0)


class Collected(_Part):
    """What came of a collector, and the processor time of its programs."""

    outcome: str
    why: str | None
    cpu_s: float | None


class PointSummary(_Part):
    """What manifest.json says of a point: how it ended and why, when (UTC), how long it took, where and on what.

    `session` and `lab` are places in the manifest's lists, from 0. `build` is None where our stack took no part, and in
    results of before it was compiled: then it was `pure`.
    """

    outcome: Outcome
    why: list[str]
    began: str
    seconds: float
    seed: int
    session: int
    lab: int
    placement: dict[str, Any]
    build: Build | None = None
    collectors: dict[str, Collected] = {}


class Asked(_Part):
    """Which point it is, and the parameters of its topology."""

    format: Literal[1] = FORMAT
    key: str
    stack: str
    repetition: int
    factors: dict[str, str | int | float | bool]
    topology: dict[str, Any] = {}


class PointRecord(PointSummary, Asked):
    """`point.json`: what a point's own directory says of it.

    `code` is empty where it was not recorded; what was measured is of the experiment and its loads.
    """

    result: dict[str, Any]
    counters: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    stacks: dict[str, Any] = {}
    links: dict[str, Any] = {}
    code: dict[str, str] = {}

    def summary(self) -> PointSummary:
        """Return what the manifest says of it."""
        said: dict[str, Any] = {name: getattr(self, name) for name in PointSummary.model_fields}
        said["collectors"] = {
            name: Collected(outcome=one.outcome, why=one.why, cpu_s=one.cpu_s) for name, one in self.collectors.items()
        }
        return PointSummary(**said)

    def row(self) -> dict[str, Scalar]:
        """Return its row of results.csv (`Row`), in the order of the columns.

        What was asked for stays when a result has the same name: a program may call itself by another one.
        """
        asked = {
            "stack": self.stack,
            "repetition": self.repetition,
            **self.factors,
            "outcome": self.outcome,
            "why": "; ".join(self.why),
            "build": self.build,
        }
        row = Row.model_validate(flatten(self.result) | asked).model_dump()
        return {name: row[name] for name in dict.fromkeys((*asked, *row))}


class Row(_Part):
    """A row of results.csv.

    The factors of the point stand before `outcome`, every number and word of its result after `build`.
    """

    stack: str
    repetition: int
    outcome: Outcome
    why: str | None
    build: Build | None = None
    __pydantic_extra__: dict[str, Scalar]


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the scalars of a nested mapping, keys joined by `_`; lists are left to the raw files."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if value is None or isinstance(value, (str, int, float, bool)):
            flat[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}_")
    return flat


class Specification(_Part):
    """What was asked, resolved: what else it has is the experiment's (`Experiment.specification`)."""

    parameters: dict[str, Any]


class Manifest(_Part):
    """`manifest.json`: what was asked, on which machine, how it ended."""

    format: Literal[1]
    experiment: Name
    title: str
    method: str = ""
    limits: str = ""
    figure: Name
    shows: list[str] = []
    file: str | None = None
    scale: str = ""
    hash: Name
    specification: Specification
    stacks: list[str]
    labels: dict[str, str] = {}
    collectors: dict[str, Any] = {}
    sessions: list[Session] = Field(min_length=1)
    labs: list[LabRecord] = []
    outcome: RunOutcome = "incomplete"
    why: list[str] = []
    points: dict[str, PointSummary] = {}
    code: list[CodeVersion] = []
    networks: list[Network] = []


SCHEMAS: Final[Mapping[str, type[_Part]]] = {"manifest": Manifest, "point": PointRecord, "results": Row}
"""By the name of the file that is described what it has."""


class _Untitled(GenerateJsonSchema):
    """Schemas without titles of fields, which would say their names again."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_files() -> dict[str, str]:
    """Return name and content of the files in `analysis/formats/`."""
    schemas = {name: model.model_json_schema(schema_generator=_Untitled) for name, model in SCHEMAS.items()}
    return {f"{name}.schema.json": f"{json.dumps(schema, indent=1)}\n" for name, schema in schemas.items()}


if __name__ == "__main__":
    for name, text in schema_files().items():
        replace(Path(__file__).parents[2] / "analysis" / "formats" / name, text.encode())
