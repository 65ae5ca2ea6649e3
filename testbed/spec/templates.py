"""Topology templates: `topologies/NAME.yaml.j2` and parameters in, a validated `Topology` out.

A template starts with a Jinja comment that holds, as YAML, a `summary` and its `parameters`: what may be set. One that
extends another has the other's parameters too, and may give them other defaults. `topology` is the name of its file.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.meta
import jinja2.nodes
import yaml
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field

from analysis.errors import UnreadableFile
from analysis.files import read_text
from testbed.errors import LabError
from testbed.input.limits import time_limit
from testbed.input.validation import Frozen, unknown, validate
from testbed.spec import Topology

DIRECTORY = Path(__file__).resolve().parents[2] / "topologies"
_SUFFIX = ".yaml.j2"
_LIMIT_S = 10.0
_MOST_BYTES = 1 << 23
"""Of what a template may take and become: the largest here takes half a second and becomes 100 kB."""
_MOST_NUMBER = 2**64
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
    """The documentation block at the top of a template. `layout`: how `lab show` draws it."""

    summary: str
    layout: Literal["left-to-right", "tiers"] = "left-to-right"
    parameters: dict[str, Parameter] = Field(default_factory=dict)


def topology_names() -> list[str]:
    """The topologies that come with the lab."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in DIRECTORY.glob(f"*{_SUFFIX}"))


def template_header(name_or_path: str) -> TemplateHeader:
    """Summary and parameters of a template; LabError when it is unknown or its header is wrong."""
    path = _find(name_or_path)
    with _bounded(_label(path)):
        return _Template(path).header


def load_topology(name_or_path: str, parameters: Mapping[str, object] | None = None) -> Topology:
    """The topology NAME of `topologies/`, or of a template file, with `parameters` in place of its defaults.

    Values may be strings as typed on a command line. LabError (one line: file, field, allowed values) for an
    unknown topology or parameter and for anything in the rendered text that is not a valid topology.
    """
    path = _find(name_or_path)
    with _bounded(_label(path)):
        template = _Template(path)
        return validate(Topology, template.render(parameters or {}), template.label, beside=path.parent)


def template_files(name_or_path: str) -> dict[str, Path]:
    """The files that a template is made of, itself and what it extends, imports and includes, by what they are called.

    Those of the lab are `topologies/NAME`, others have their name alone. Of a name that is computed nothing is known:
    then all templates beside it count. LabError for an unknown topology.
    """
    waiting, found = [_find(name_or_path)], dict[str, Path]()
    folders = (waiting[0].parent, DIRECTORY)
    while waiting:
        path = waiting.pop()
        label = f"topologies/{path.name}" if path.resolve().parent == DIRECTORY else path.name
        if label not in found:
            found[label] = path
            waiting += _referenced(path, folders)
    return found


def _referenced(path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    try:
        names = _names_in(read_text(path))
    except (UnreadableFile, jinja2.TemplateSyntaxError):  # told when it is rendered
        return
    if None in names:
        yield from sorted(path.parent.glob("*.j2"))
    for name in names - {None}:
        yield from [place for folder in folders if (place := folder / str(name)).is_file()][:1]  # as Jinja looks


@cache
def _names_in(text: str) -> frozenset[str | None]:
    """The templates that one names; None for a computed name."""
    return frozenset(jinja2.meta.find_referenced_templates(jinja2.Environment().parse(text)))


@cache
def _names_in_use(text: str) -> frozenset[str] | None:
    """What a template looks at of what it is given; None when its text does not tell."""
    try:
        parsed = jinja2.Environment().parse(text)
    except jinja2.TemplateSyntaxError:
        return None
    if None in jinja2.meta.find_referenced_templates(parsed):
        return None
    return frozenset(jinja2.meta.find_undeclared_variables(parsed))


@contextmanager
def _bounded(label: str) -> Iterator[None]:
    """Answer in one line what a template, which is a program, does without an end."""
    try:
        with time_limit(_LIMIT_S, "has it a loop without an end?", of="processor"):
            yield
    except TimeoutError as error:
        raise LabError(f"{label}: {error}") from None
    except RecursionError:
        raise LabError(f"{label}: nested too deeply: does it extend or include itself?") from None
    except MemoryError:
        raise LabError(f"{label}: takes more memory than there is") from None


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


class _Environment(SandboxedEnvironment):
    """Templates are trusted; this one keeps slips from becoming computations that no time limit ends."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and max(abs(left), 2) ** min(abs(right), 64) > _MOST_NUMBER:
            raise OverflowError("a number without an end")
        if operator == "*" and any(len(one) * other > _MOST_BYTES for one, other in _repeated(left, right)):
            raise OverflowError("a text without an end")
        return super().call_binop(context, operator, left, right)


def _repeated(left: Any, right: Any) -> Iterator[tuple[Sized, int]]:
    """What is repeated how often, of the two sides of a product."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Sized) and isinstance(other, int):
            yield one, other


class _Template:
    """One template file, and the environment in which it finds others: beside it, then the lab's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = _label(path)
        folders = [jinja2.FileSystemLoader(folder) for folder in (path.parent, DIRECTORY)]
        self._environment = _Environment(
            loader=jinja2.ChoiceLoader(folders), undefined=jinja2.StrictUndefined, autoescape=False
        )
        self.header = self._header()

    def _header(self) -> TemplateHeader:
        try:
            text = read_text(self.path)
        except UnreadableFile as error:
            raise LabError(str(error)) from None
        match = _HEADER.match(text)
        if match is None:
            raise LabError(f"{self.label}: must start with a comment {{# summary: ... parameters: ... #}}")
        where = f"{self.label}: header"
        own = validate(TemplateHeader, _parse_yaml(match.group(1).strip(), where), where)
        parent = self._parent(text)
        return own.model_copy(update={"parameters": parent.parameters | own.parameters}) if parent else own

    def _parent(self, text: str) -> TemplateHeader | None:
        """The header of the template that this one extends."""
        try:
            extends = next(self._environment.parse(text).find_all(jinja2.nodes.Extends), None)
        except jinja2.TemplateSyntaxError:  # told with its line when it is rendered
            return None
        if extends is None or not isinstance(extends.template, jinja2.nodes.Const):
            return None
        name = str(extends.template.value)
        found = next((path for folder in (self.path.parent, DIRECTORY) if (path := folder / name).is_file()), None)
        if found is None:
            raise LabError(f"{self.label}: extends {name!r}, which is neither beside it nor in topologies/")
        return _Template(found).header

    def render(self, parameters: Mapping[str, object]) -> Any:
        """The template's YAML as data."""
        values = _resolve(self.header.parameters, parameters, self.label)
        self._require_use(parameters)
        given = {"topology": self.path.name.removesuffix(_SUFFIX), **values}
        try:
            text = self._text(given)
        except jinja2.TemplateSyntaxError as error:
            raise LabError(f"{self._place(error.name, error.lineno)}: {error.message}") from None
        except jinja2.TemplateNotFound as error:
            raise LabError(f"{self.label}: no file {error.name!r} beside it or in topologies/") from None
        except jinja2.UndefinedError as error:
            known = ", ".join(values) or "none"
            raise LabError(f"{self._where(error)}: {error.message} (parameters: {known})") from None
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise LabError(f"{self._where(error)}: {error}") from None
        return _parse_yaml(text, f"{self.label}: when rendered")

    def _require_use(self, parameters: Mapping[str, object]) -> None:
        """Raise LabError for one of `parameters` that is declared, and that no text looks at."""
        used: set[str] = set()
        for path in template_files(str(self.path)).values():
            try:
                names = _names_in_use(read_text(path))
            except UnreadableFile:
                return  # told when it is rendered
            if names is None:  # a template with a mistake, told with its line; or one that takes others by name
                return
            used |= names
        for name in parameters:
            if name not in used:
                uses = ", ".join(one for one in self.header.parameters if one in used) or "none"
                raise LabError(f"{self.label}: parameter '{name}' is declared and not used; those in use: {uses}")

    def _text(self, given: Mapping[str, object]) -> str:
        """The template's text, as long as one of a topology may be. LabError."""
        parts, length = [], 0
        for part in self._environment.get_template(self.path.name).generate(given):
            parts.append(part)
            length += len(part)
            if length > _MOST_BYTES:
                raise LabError(f"{self.label}: becomes more than {_MOST_BYTES} bytes of text")
        return "".join(parts)

    def _where(self, error: Exception) -> str:
        """File and line of a template in which `error` was raised: Jinja puts them into the traceback."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
        return self._place(Path(frames[-1].filename).name, frames[-1].lineno) if frames else self.label

    def _place(self, name: str | None, line: int | None) -> str:
        if name in (None, self.path.name):
            return f"{self.label}: line {line}"
        return f"{self.label}: {name}: line {line}"


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


def _parse_yaml(text: str, label: str) -> Any:
    try:
        return yaml.safe_load(text)
    except ValueError as error:  # of a number with thousands of digits, a date that is none
        raise LabError(f"{label}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise LabError(f"{label}: {place}{getattr(error, 'problem', None) or 'is not YAML'}") from None
