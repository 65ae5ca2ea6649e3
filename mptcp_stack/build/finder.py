"""Finds the compiled modules of a unit, in place of their sources, as long as they are those of these sources."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Final

from .unit import CONTENTS, Unit

SUFFIX: Final = EXTENSION_SUFFIXES[0]
"""How the name of a compiled module ends: it says the version of Python, its ABI and the machine."""


class CompiledFinder(MetaPathFinder):
    """Finds what is in the folder of one build; what of its packages is not there, among the sources."""

    def __init__(self, unit: Unit, folder: str) -> None:
        """Raises OSError, ValueError or ImportError when not all of the build is there."""
        self._unit = unit
        self._files: dict[str, str] = {}
        with open(os.path.join(folder, CONTENTS), encoding="utf-8") as contents:
            for line in contents:
                size, _, name = line.rstrip("\n").partition(" ")
                path = os.path.join(folder, name)
                if os.stat(path).st_size != int(size):
                    raise ImportError(f"{path} is damaged")
                self._files[name.removesuffix(SUFFIX).removesuffix("/__init__").replace("/", ".")] = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, when it is compiled or in a package that is."""
        file = self._files.get(fullname)
        if file is not None:
            is_package = os.path.basename(file) == f"__init__{SUFFIX}"
            return spec_from_file_location(
                fullname,
                file,
                loader=ExtensionFileLoader(fullname, file),
                submodule_search_locations=[os.path.dirname(file)] if is_package else None,
            )
        parent = fullname.rpartition(".")[0]
        if parent in self._files:  # whose own path leads to compiled modules alone
            inner = parent.split(".")[1:]
            return PathFinder.find_spec(fullname, [os.path.join(self._unit.package, *inner)], target)
        return None


def install(unit: Unit) -> bool:
    """Let imports find what was compiled of `unit` as it is now; return whether anything was.

    Raises ImportError when it is not whole, or not for this machine; then imports are as before.
    """
    if not os.path.isdir(unit.builds) or not os.path.isdir(folder := os.path.join(unit.builds, unit.key())):
        return False
    try:
        finder = CompiledFinder(unit, folder)
    except (OSError, ValueError) as error:
        raise ImportError(str(error)) from error
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module(unit.library)  # holds all of the code: modules by themselves only open it
    except ImportError:
        sys.meta_path.remove(finder)
        raise
    return True
