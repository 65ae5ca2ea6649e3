"""Middleboxes by name: `nat` is the class in `boxes/nat.py`, `module:Class` a user's own."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError, ValidationInfo

from testbed.errors import LabError
from testbed.input.plugins import class_named
from testbed.input.validation import FieldError, first_error, unknown
from testbed.middleboxes import boxes
from testbed.middleboxes.base import Middlebox
from testbed.middleboxes.chain import Chain
from testbed.units import WRITTEN

KIND = "kind"
"""Where in its specification the name of a middlebox is; beside it are its parameters."""


def names() -> list[str]:
    """Return the names of the middleboxes that come with the lab."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(boxes.__path__))


def middlebox_class(name: str) -> type[Middlebox[Any]]:
    """Return the class called `name`. Raises FieldError with what is allowed."""
    if ":" not in name:
        if name not in names():
            raise FieldError(KIND, unknown("middlebox", name, [*names(), "module:Class"]))
        module = importlib.import_module(f"{boxes.__name__}.{name.replace('-', '_')}")
        (found,) = (
            member
            for _, member in inspect.getmembers(module, inspect.isclass)
            if issubclass(member, Middlebox) and member.__module__ == module.__name__
        )
        return found
    try:
        return class_named(name, f"middlebox '{name}'", Middlebox, "parameters", "random", "mtu_bytes")
    except LabError as error:
        raise FieldError(KIND, error.message) from error


def validated(data: Any, *, written: bool = False) -> dict[str, Any]:
    """Return a middlebox's specification with all its parameters, as JSON values. Raises FieldError.

    `written`: by a person, who must give units.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get(KIND), str):
        raise FieldError(KIND, f"is required: a name and parameters, e.g. {{kind: nat, timeout: 30 s}} (got {data!r})")
    model = middlebox_class(data[KIND]).parameters_model
    try:
        values = {name: value for name, value in data.items() if name != KIND}
        parameters = model.model_validate(values, context={WRITTEN: written})
    except ValidationError as error:
        raise FieldError(*first_error(model, error)) from None
    return {KIND: data[KIND], **parameters.model_dump(mode="json", by_alias=True)}


def _specification(data: Any, info: ValidationInfo) -> dict[str, Any]:
    return validated(data, written=bool((info.context or {}).get(WRITTEN)))


Specification = Annotated[dict[str, Any], BeforeValidator(_specification)]
"""A middlebox in a specification: `{kind: NAME, PARAMETER: VALUE, ...}`."""


def build(specifications: Sequence[Mapping[str, Any]], seed: str, mtu_bytes: int) -> Chain:
    """Return the middleboxes of a link, as specified, with the dice of `seed`. Raises FieldError."""
    made = []
    for specification in map(validated, specifications):
        found = middlebox_class(specification[KIND])
        values = {name: value for name, value in specification.items() if name != KIND}
        made.append((specification[KIND], found(found.parameters_model.model_validate(values), Random(), mtu_bytes)))
    chain = Chain(made)
    chain.seed(seed)
    return chain
