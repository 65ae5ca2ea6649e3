"""What the manifest of a run directory must say for the rest to rely on it.

The texts and names here reach files, pages and terminals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from analysis.files import PLAIN_NAME, Document

FORMAT = 1
"""The layout of run directories that is read here (the manifest says which one it has)."""

Name = Annotated[str, StringConstraints(pattern=PLAIN_NAME)]


class _Processors(Document):
    usable: Sequence[int] = ()


class _Session(Document):
    began: str = ""
    command_line: Sequence[str] = ()
    git: dict[str, str | bool | None] = Field(default_factory=dict)
    cpu: _Processors = _Processors()


class _Delivery(Document):
    asked_ms: float
    mean_ms: float
    asked_loss: float
    lost: int
    sent: int = Field(gt=0)


class _Depth(Document):
    asked_bytes: int
    measured_bytes: int | None


class _Calibration(Document):
    link: str
    direction: str
    asked_bps: int = 0
    measured_bps: float = 0
    delivery: _Delivery | None = None
    depth: _Depth | None = None


class _Lab(Document):
    calibration: Sequence[_Calibration] = ()


class _Specification(Document):
    parameters: dict[str, Any]


class _Point(Document):
    session: int | None = None


class _Code(Document):
    parts: dict[str, str]
    points: int = Field(ge=0)


class _Network(Document):
    network: str
    rates_and_delays: str
    link_names: list[str]
    between_ends_bps: list[int]
    slowest_bps: int
    factors: dict[str, list[Any]]


class Manifest(Document):
    """`manifest.json`; see `testbed.runs.results`."""

    experiment: Name
    hash: Name
    figure: Name
    title: str
    method: str = ""
    limits: str = ""
    scale: str = ""
    outcome: str = ""
    stacks: list[str]
    labels: dict[str, str] = Field(default_factory=dict)
    why: Sequence[str] = ()
    specification: _Specification
    sessions: list[_Session] = Field(min_length=1)
    points: dict[str, _Point] = Field(default_factory=dict)
    labs: Sequence[_Lab] = ()
    code: Sequence[_Code] = ()
    networks: Sequence[_Network] = ()
