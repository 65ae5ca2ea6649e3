"""User's data into frozen models; what does not fit becomes one line with file, field and allowed values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from testbed.errors import LabError
from testbed.units import WRITTEN


class Frozen(BaseModel):
    """Base of every specification: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


class FieldError(ValueError):
    """A check over several fields failed: says which one is to blame."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


BESIDE: Final = "beside"
"""In the context of a validation: the folder of the file that the data is from, where files that it names may be."""


def validate(model: type[Model], data: Any, source: str, *, written: bool = True, beside: Path | None = None) -> Model:
    """`data` as a `model`; LabError `source: field: what is wrong` for the first thing that does not fit.

    `written`: a person wrote the data, all of it: a quantity is a text with its unit, not a bare number. `beside`: the
    folder of the file that the data is from.
    """
    try:
        return model.model_validate(data, context={WRITTEN: written, BESIDE: beside})
    except ValidationError as error:
        raise LabError(_explain(model, error, source)) from None


def unknown(kind: str, name: object, allowed: Iterable[str]) -> str:
    """`unknown KIND 'NAME'; allowed: a, b` (with a guess when a name is near)."""
    names = list(allowed)
    near = difflib.get_close_matches(str(name), names, n=1)
    guess = f", did you mean {near[0]}?" if near else ";"
    return f"unknown {kind} '{name}'{guess} allowed: {', '.join(names) or 'none'}"


def first_error(model: type[BaseModel], failure: ValidationError) -> tuple[str, str]:
    """The field of the first thing that does not fit `model` (empty for the whole), and what is wrong with it."""
    first = failure.errors(include_url=False)[0]
    location = tuple(first["loc"])
    cause = first.get("ctx", {}).get("error")
    path = format_path(location)
    if isinstance(cause, FieldError):
        path = f"{path}.{cause.field}".strip(".")
    return path, _message(model, first, location)


def _explain(model: type[BaseModel], failure: ValidationError, source: str) -> str:
    path, message = first_error(model, failure)
    return f"{source}: {path}: {message}" if path else f"{source}: {message}"


def format_path(location: Iterable[int | str]) -> str:
    """("links", 0, "rate") -> "links[0].rate"."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _message(model: type[BaseModel], error: Any, location: tuple[int | str, ...]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return unknown("field", location[-1], _fields_at(model, location[:-1]))
        case "missing":
            return "is required"
        case "value_error":
            return str(error["ctx"]["error"])
        case "literal_error":
            return f"must be one of {error['ctx']['expected']}, not {error['input']!r}"
        case _:
            text = str(error["msg"])
            return f"{text[0].lower()}{text[1:]} (got {error['input']!r})"


def _fields_at(model: type[BaseModel], location: Iterable[int | str]) -> list[str]:
    """The fields allowed at a place inside `model`."""
    for part in location:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        if field is not None:
            model = _inner_model(field.annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside tuple[Model, ...], Model | None, dict[str, Model] and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner_model(part))), None)
