"""An experiment of a user's own, outside this repository: by the path of its file, or as `module:Class`.

Its results go to a directory of its `name`, as for the lab's. A function `draw(run)` in its file, which returns a
matplotlib figure, draws them, and `table(run)` is their table; without them the general figure and table do.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from testbed.errors import LabError
from testbed.input.plugins import class_named, module_of_file

if TYPE_CHECKING:
    from testbed.experiment import Experiment

Class = TypeVar("Class", bound="Experiment[Any]")

_PROJECTS = Path(__file__).resolve().parents[2] / "experiments"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,49}")
_MUST_HAVE = ("name", "title", "topology", "stacks", "scales")


def is_own(name: str) -> bool:
    """Whether `name` is not that of one of the lab's experiments by its form."""
    return ":" in name or "/" in name or name.endswith(".py")


def experiment_class(name: str, base: Callable[..., Class], taken: Collection[str]) -> type[Class]:
    """Return the experiment `./FILE.py` or `module:Class`, a subclass of `base`. Raises LabError, one line."""
    what = f"experiment '{name}'"
    found = class_named(name, what, base, "parameters") if ":" in name else _in_file(name, base)
    lacking = [attribute for attribute in _MUST_HAVE if not hasattr(found, attribute)]
    if lacking:
        raise LabError(f"{what}: {found.__name__} lacks {', '.join(lacking)}")
    if not isinstance(found.name, str) or not _NAME.fullmatch(found.name):
        raise LabError(
            f"{what}: name {found.name!r} must be of lower-case letters, digits, -, _ and ., as that of a directory"
        )
    if found.name in taken:
        raise LabError(f"{what}: name {found.name!r} is that of an experiment of the lab; choose another")
    if not found.scales:
        raise LabError(f"{what}: scales must have at least one table of parameters")
    return found


def _in_file(name: str, base: Callable[..., Class]) -> type[Class]:
    """Return the one experiment that a file defines; what it imports from elsewhere does not count."""
    what, kind = f"experiment '{name}'", cast("type[Any]", base)
    module = module_of_file(Path(name), what)
    found: list[Any] = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, kind) and member.__module__ == module.__name__ and not inspect.isabstract(member)
    ]
    if len(found) == 1:
        only: type[Class] = found[0]
        return only
    classes = ", ".join(one.__name__ for one in found) or "none"
    unfinished = [
        f"{member.__name__} lacks {', '.join(sorted(member.__abstractmethods__))}"
        for _, member in inspect.getmembers(module, inspect.isabstract)
        if issubclass(member, kind) and member.__module__ == module.__name__
    ]
    raise LabError(
        f"{what}: must define one subclass of Experiment, but has {'; '.join(unfinished) or classes}"
        + ("; name one of them as module:Class" if found else "")
    )


def module_of(experiment: type[Experiment[Any]]) -> ModuleType | None:
    """Return the module of a user's own experiment; None for one of the lab's."""
    module = sys.modules.get(experiment.__module__)
    file = getattr(module, "__file__", None)
    return None if file is None or Path(file).resolve().is_relative_to(_PROJECTS) else module


def file_of(experiment: Experiment[Any]) -> str | None:
    """Return the file of a user's own experiment; None for one of the lab's."""
    module = module_of(type(experiment))
    return None if module is None or module.__file__ is None else str(Path(module.__file__).resolve())


def check_place(experiment: Experiment[Any], measured_by: object, directory: Path) -> None:
    """Raise LabError when results in `directory` are of an experiment of the same name from another file."""
    file = file_of(experiment)
    if file is None or not isinstance(measured_by, str) or measured_by == file:
        return
    if Path(measured_by).is_file():
        raise LabError(
            f"{directory}: holds results of {measured_by}, which has the same name and parameters as {file}: "
            f"give one of them another name, or use --out"
        )
