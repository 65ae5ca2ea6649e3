"""Files in a directory of results, which may be anybody's: what is read there and where is written.

A results directory may come from somebody else, and the lab runs as root. So nothing is waited for (a FIFO), nothing
without bounds is read (a device), names out of data are plain ones, and no link leads what is written elsewhere.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.errors import ForeignPlace, UnreadableFile

MOST_BYTES: Final = 1 << 26
"""Of a manifest, a table or a point's record: a hundred times what the longest run here has."""

PLAIN_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.+@-]{0,99}$"
"""What names out of data must look like that become those of files."""


class Document(BaseModel):
    """What a JSON object must have for the rest to rely on it; what else it has stays as it is."""

    model_config = ConfigDict(extra="allow", strict=True)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, and nothing that could be waited for. Raises UnreadableFile."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableFile(f"{path}: not a regular file")
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, ValueError) as error:  # ValueError: a name that none can be
        raise UnreadableFile(f"{path}: {_reason(error)}") from error


def read_text(path: Path) -> str:
    """The text of a regular file of at most MOST_BYTES. Raises UnreadableFile."""
    with open_regular(path) as file:
        try:
            data = file.read(MOST_BYTES + 1)
            text = data.decode()
        except (OSError, ValueError) as error:
            raise UnreadableFile(f"{path}: {_reason(error)}") from error
    if len(data) > MOST_BYTES:
        raise UnreadableFile(f"{path}: more than {MOST_BYTES} bytes")
    return text


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds. Raises UnreadableFile."""
    text = read_text(path)
    try:
        document = json.loads(text)
        if "\\ud" in text.lower():  # half of a character, which no terminal or page could show
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path}: not a JSON document ({error})") from error
    if not isinstance(document, dict):
        raise UnreadableFile(f"{path}: must be a JSON object, not {type(document).__name__}")
    return document


def read_document(path: Path, model: type[Document], form: int) -> dict[str, Any]:
    """The JSON object that a file holds, of format `form`. Raises UnreadableFile, which names what does not fit."""
    document = read_json(path)
    if document.get("format") != form:
        raise UnreadableFile(f"{path}: format: {document.get('format')!r}; allowed: {form}")
    try:
        model.model_validate(document)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        field, what = ".".join(map(str, first["loc"])), first["msg"]
        raise UnreadableFile(f"{path}: {field}: {what[0].lower()}{what[1:]}") from None
    return document


def within(root: Path, *names: str) -> Path:
    """The place for `names` below the directory `root`. Raises ForeignPlace when it is, by a link, elsewhere."""
    path = root.joinpath(*names)
    try:
        there = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle
        raise ForeignPlace(f"{path}: {_reason(error)}") from error
    if not there:
        raise ForeignPlace(f"{path}: leads out of {root}, to {path.resolve()}; nothing is written there")
    return path


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step, in place of what has its name; when that fails nothing is left. OSError names it."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # follows no link
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
