"""Whose mistake an exception is: the file and line in code that is neither ours nor a library's."""

from __future__ import annotations

import inspect
import site
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PROJECT = Path(__file__).resolve().parents[2]
_NOT_THEIRS = (
    *(f"{_PROJECT / room}/" for room in ("mptcp_stack", "testbed", "analysis")),
    *sysconfig.get_paths().values(),
    *site.getsitepackages(),
    "<frozen",
    "mptcp_stack/",  # what is compiled names its sources so
)


def is_users(file: str) -> bool:
    """Whether a file of code is a user's."""
    return not file.startswith(_NOT_THEIRS)


def blamed(error: BaseException) -> str:
    """`error` in one line, with the innermost place in a user's code if there is one: "TypeError: ... (mine.py:12)"."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    what = " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
    place = place_of(error)
    return f"{what} ({place})" if place else what


def place_of(error: BaseException) -> str | None:
    """The innermost place in code that is neither ours nor a library's which `error` came through: "mine.py:12"."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def check_class(found: object, base: type[Any], arguments: Sequence[str]) -> str:
    """Why `found` is no class that is made with so many `arguments` (their names) and then a `base`; empty when it is.

    With the file and line of the class, or of its `__init__`.
    """
    if not isinstance(found, type):
        return f"is not a {base.__name__}"
    if not issubclass(found, base):
        return f"is not a {base.__name__} ({defined_at(found)})"
    lacking = sorted(getattr(found, "__abstractmethods__", ()))
    if lacking:
        return f"lacks {', '.join(lacking)} of {base.__name__} ({defined_at(found)})"
    try:
        inspect.signature(found).bind(*arguments)
    except (TypeError, ValueError) as error:
        code = getattr(found.__init__, "__code__", None)  # type: ignore[misc]
        place = f"{code.co_filename}:{code.co_firstlineno}" if code else defined_at(found)
        return f"TypeError: __init__ must take ({', '.join(('self', *arguments))}): {error} ({place})"
    return ""


def defined_at(found: type[Any]) -> str:
    """File and line of a class, or else its module."""
    try:
        return f"{inspect.getsourcefile(found)}:{inspect.getsourcelines(found)[1]}"
    except (OSError, TypeError):
        return found.__module__
