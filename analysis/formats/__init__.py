"""The formats of a run's files as JSON schemas, which the testbed writes (`python -m testbed.runs.formats`).

`manifest.schema.json` and `point.schema.json` are of the documents of those names, `results.schema.json` is of a row of
results.csv. What they do not name may be there, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import jsonschema

from analysis.errors import UnreadableFile

_MOST_LETTERS: Final = 60
"""Of a value that is shown: it may be anybody's."""

Kind = Literal["manifest", "point", "results"]


def schema(kind: Kind) -> dict[str, Any]:
    """Return the JSON schema of a file."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name(f"{kind}.schema.json").read_text())
    return document


def check(document: Mapping[str, Any], kind: Kind, source: str) -> None:
    """Raise UnreadableFile `source: field: what is wrong` for the first thing that is not as the schema has it.

    A document of another format version is told as such, whatever else is in it.
    """
    validator = _validator(kind)
    version = validator.schema["properties"].get("format", {})
    found = document.get("format", version.get("default"))
    if "const" in version and found != version["const"]:
        raise UnreadableFile(f"{source}: format: {_short(found)}; allowed: {version['const']}")
    for error in validator.iter_errors(document):
        raise UnreadableFile(f"{source}: {_told(error)}")


@cache
def _validator(kind: Kind) -> Any:
    validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})
    return validator(schema(kind))


def _pattern(_: Any, pattern: str, value: object, __: object) -> Iterator[jsonschema.ValidationError]:
    """Hold a text to a pattern as JSON schemas mean it: in Python's a `$` is also before a last line end."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield jsonschema.ValidationError(pattern)


def _told(error: jsonschema.ValidationError) -> str:
    """Return the field and what is wrong with it."""
    path, given, wanted = list(error.absolute_path), _short(error.instance), error.validator_value
    match error.validator:
        case "required":
            path.append(next(name for name in wanted if name not in error.instance))
            what = "is required"
        case "enum":
            what = f"{given}; allowed: {', '.join(wanted)}"
        case "type":
            what = f"must be {_TYPES[wanted]}, not {given}"
        case "anyOf" if deeper := [one for one in error.context if one.path or one.validator != "type"]:
            return _told(deeper[0])
        case "anyOf":
            what = f"must be {' or '.join(_TYPES[one.get('type', 'object')] for one in wanted)}, not {given}"
        case _:
            what = f"{given}; {error.validator}: {wanted}"
    return f"{_field(path)}: {what}"


_TYPES: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _field(path: Iterable[str | int]) -> str:
    """("labs", 0, "stack") -> "labs[0].stack"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
