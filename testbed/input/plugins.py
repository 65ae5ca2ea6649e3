"""Classes and files of a user's own, loaded; what goes wrong is one line with the place in their code."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from testbed.errors import LabError

Class = TypeVar("Class")

_GROUP = re.compile(r"^\s*(?:[|+]\s?|\+-.*)?")
"""What a traceback of an exception group has before its lines."""
_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_EXCEPTION = re.compile(r"(?P<what>[A-Za-z_][\w.]*(?:: .*)?)$")


def blamed(error: BaseException) -> str:
    """As `mptcp_stack.runtime.blamed`, which the many programs that never need it do not wait for."""
    from mptcp_stack.runtime import blamed as told

    return told(error)


def reason(error: Exception) -> str:
    """Return what went wrong in one line; for a mistake in a user's class also of which kind it was."""
    if isinstance(error, LabError):
        return error.message
    return str(error) if isinstance(error, OSError) else blamed(error)


def module_named(name: str, what: str) -> ModuleType:
    """Import the user's module `name`. Raises LabError `what: ...` for whatever it does instead."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise LabError(f"{what}: {error} (is its directory in PYTHONPATH?)") from error
        raise LabError(f"{what}: {blamed(error)}") from error
    except (Exception, SystemExit) as error:
        raise LabError(f"{what}: {blamed(error)}") from error


def module_of_file(path: Path, what: str) -> ModuleType:
    """Import a file of Python, with what stands beside it. Raises LabError `what: ...`.

    Its module has the file's name where that is free, so that programs in the hosts, which find it by PYTHONPATH, call
    its classes as we do.
    """
    resolved = path.resolve()
    if not resolved.is_file() or resolved.suffix != ".py":
        raise LabError(f"{what}: no such file of Python")
    if not resolved.stem.isidentifier():
        raise LabError(f"{what}: its name must be that of a module: letters, digits and underscores, then .py")
    known = sys.modules.get(resolved.stem)
    if known is not None and known.__file__ is not None and Path(known.__file__).resolve() == resolved:
        return known
    if known is not None or resolved.stem in sys.stdlib_module_names:
        raise LabError(f"{what}: there is a module '{resolved.stem}' already; give the file another name")
    folder = str(resolved.parent)
    if folder not in sys.path:
        sys.path.append(folder)
        # Programs in the hosts find by this what is named from the file, a scheduler for example.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), folder]))
    spec = importlib.util.spec_from_file_location(resolved.stem, resolved)
    if spec is None or spec.loader is None:
        raise LabError(f"{what}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[resolved.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[resolved.stem]
        raise LabError(f"{what}: {blamed(error)}") from error
    return module


def class_named(place: str, what: str, base: Callable[..., Class], *arguments: str) -> type[Class]:
    """Return the class `module:Class`, a `base` that is made with `arguments`. Raises LabError `what: ...`.

    `base` is a class, also an abstract one.
    """
    from mptcp_stack.runtime import check_class

    module_name, _, class_name = place.partition(":")
    if not module_name or not class_name:
        raise LabError(f"{what}: must be module:Class")
    module = module_named(module_name, what)
    if not hasattr(module, class_name):
        raise LabError(f"{what}: module '{module_name}' has no class {class_name} ({module.__file__})")
    found: Any = getattr(module, class_name)
    if wrong := check_class(found, cast("type[Any]", base), arguments):
        raise LabError(f"{what}: {class_name} {wrong}")
    checked: type[Class] = found
    return checked


def exception_in(text: str) -> str | None:
    """Return the first exception whose traceback is in a program's output, with the place in a user's code if any.

    Of exceptions in a group the first that is none itself.
    """
    found = list(_exceptions(text))
    return next((one for one in found if "ExceptionGroup" not in one), found[0] if found else None)


def _exceptions(text: str) -> Iterator[str]:
    if "Traceback" not in text:
        return
    from mptcp_stack.runtime import is_users

    place: str | None = None
    inside = False
    for raw in text.splitlines():
        line = _GROUP.sub("", raw, count=1) if raw.lstrip().startswith(("|", "+")) else raw
        if "Traceback (most recent call last)" in line:
            inside, place = True, None
        elif inside and (frame := _FRAME.match(line)):
            place = f"{frame['file']}:{frame['line']}" if is_users(frame["file"]) else place
        elif inside and (exception := _EXCEPTION.match(line)):
            yield exception["what"] + (f" ({place})" if place else "")
            inside = False
