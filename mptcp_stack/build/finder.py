"""Finds the compiled modules of a unit, in place of their sources, as long as they are those of these sources."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Final

from .unit import SIZE, Unit

_INIT: Final = "init_"
"""How in mypyc's library the names of the functions begin that make its modules; a dot in them is `___`."""
_pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_in.argtypes, _pointer_in.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p


class CompiledFinder(MetaPathFinder):
    """Finds the modules that are in the library of one build, and what stays Python in packages that are."""

    def __init__(self, unit: Unit, folder: str) -> None:
        """Load the library. Raises OSError, ValueError or ImportError when it is not whole, or not for this machine."""
        file = os.path.join(folder, unit.library_file)
        with open(os.path.join(folder, SIZE), encoding="ascii") as size:
            if os.stat(file).st_size != int(size.read()):  # to load what has been cut off ends the process
                raise ImportError(f"{file} is damaged")
        self._package = unit.package
        self._library = _load(unit.library, file)
        names = (name.removeprefix(_INIT) for name in vars(self._library) if name.startswith(_INIT))
        self._modules = {name.replace("___", "."): name for name in names}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, when it is compiled or in a package that is."""
        if fullname in self._modules:
            loader = _CompiledLoader(self._library, f"{_INIT}{self._modules[fullname]}")
            is_package = os.path.isdir(self._source(fullname))
            return ModuleSpec(fullname, loader, origin=self._library.__file__, is_package=is_package)
        parent = fullname.rpartition(".")[0]
        if parent in self._modules:  # whose own path leads nowhere
            return PathFinder.find_spec(fullname, [self._source(parent)], target)
        return None

    def _source(self, package: str) -> str:
        return os.path.join(self._package, *package.split(".")[1:])


class _CompiledLoader(Loader):
    """Makes a module by a function of the library, for which mypyc's own way is an extension module for each."""

    def __init__(self, library: ModuleType, function: str) -> None:
        self._library = library
        self._function = function

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = f"{self._library.__name__}.{self._function}".encode()
        make = ctypes.PYFUNCTYPE(ctypes.py_object)(_pointer_in(getattr(self._library, self._function), name))
        made: ModuleType = make()
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: what is made has run."""


def _load(name: str, file: str) -> ModuleType:
    spec = spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))
    assert spec is not None
    library = module_from_spec(spec)
    sys.modules[name] = library  # where its modules look for it
    return library
