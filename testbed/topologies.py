"""Topology templates: `topologies/NAME.yaml.j2` and parameters in, a validated `Topology` out.

A template starts with a Jinja comment that holds, as YAML, a `summary` and its `parameters`: what may be set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import Field

from testbed.errors import LabError
from testbed.spec import Topology
from testbed.validation import Frozen, unknown, validate

DIRECTORY = Path(__file__).resolve().parent.parent / "topologies"
_SUFFIX = ".yaml.j2"
_HEADER = re.compile(r"\A\s*\{#-?(.*?)-?#\}", re.DOTALL)

Value = bool | int | float | str


class Parameter(Frozen):
    """One thing a template lets its user choose; its type is that of the default."""

    default: Value
    help: str
    choices: tuple[Value, ...] = ()
    minimum: float = -inf
    maximum: float = inf


class TemplateHeader(Frozen):
    """The documentation block at the top of a template."""

    summary: str
    parameters: dict[str, Parameter] = Field(default_factory=dict)


def topology_names() -> list[str]:
    """The topologies that come with the lab."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in DIRECTORY.glob(f"*{_SUFFIX}"))


def template_header(name_or_path: str) -> TemplateHeader:
    """Summary and parameters of a template; LabError when it is unknown or its header is wrong."""
    path = _find(name_or_path)
    return _header(path.read_text(), _label(path))


def load_topology(name_or_path: str, parameters: Mapping[str, object] | None = None) -> Topology:
    """The topology NAME of `topologies/`, or of a template file, with `parameters` in place of its defaults.

    Values may be strings as typed on a command line. LabError (one line: file, field, allowed values) for an
    unknown topology or parameter and for anything in the rendered text that is not a valid topology.
    """
    path = _find(name_or_path)
    label = _label(path)
    text = path.read_text()
    values = _resolve(_header(text, label).parameters, parameters or {}, label)
    return validate(Topology, _render(text, values, label), label)


def _find(name_or_path: str) -> Path:
    looks_like_path = "/" in name_or_path or name_or_path.endswith(_SUFFIX)
    path = Path(name_or_path) if looks_like_path else DIRECTORY / f"{name_or_path}{_SUFFIX}"
    if path.is_file():
        return path
    if looks_like_path:
        raise LabError(f"{path}: no such topology file")
    raise LabError(unknown("topology", name_or_path, topology_names()))


def _label(path: Path) -> str:
    """How messages name the file: `topologies/x.yaml.j2` for the lab's own, else as the user wrote it."""
    resolved = path.resolve()
    return f"topologies/{resolved.name}" if resolved.parent == DIRECTORY else str(path)


def _header(text: str, label: str) -> TemplateHeader:
    match = _HEADER.match(text)
    if match is None:
        raise LabError(f"{label}: must start with a comment {{# summary: ... parameters: ... #}}")
    return validate(TemplateHeader, _parse_yaml(match.group(1).strip(), f"{label}: header"), f"{label}: header")


def _resolve(known: Mapping[str, Parameter], given: Mapping[str, object], label: str) -> dict[str, Value]:
    for name in given:
        if name not in known:
            raise LabError(f"{label}: {unknown('parameter', name, known)}")
    return {
        name: _convert(parameter, given[name], f"{label}: parameter {name}") if name in given else parameter.default
        for name, parameter in known.items()
    }


def _convert(parameter: Parameter, value: Any, label: str) -> Value:
    kind = type(parameter.default)
    if isinstance(value, str) and kind is not str:
        value = _parse_yaml(value, label)
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise LabError(f"{label}: must be {_KINDS[kind]}, not {value!r}")
    converted: Value = value
    if parameter.choices and converted not in parameter.choices:
        raise LabError(f"{label}: must be one of {', '.join(map(str, parameter.choices))}, not {converted!r}")
    low, high = parameter.minimum, parameter.maximum
    if not isinstance(converted, str) and not low <= converted <= high:
        raise LabError(f"{label}: must be from {low:g} to {high:g}, not {converted}")
    return converted


_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _render(text: str, values: Mapping[str, Value], label: str) -> Any:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        rendered = environment.from_string(text).render(values)
    except jinja2.TemplateSyntaxError as error:
        raise LabError(f"{label}: line {error.lineno}: {error.message}") from None
    except jinja2.UndefinedError as error:
        raise LabError(f"{label}: {error.message} (parameters: {', '.join(values) or 'none'})") from None
    return _parse_yaml(rendered, label)


def _parse_yaml(text: str, label: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise LabError(f"{label}: {place}{getattr(error, 'problem', None) or 'is not YAML'}") from None
