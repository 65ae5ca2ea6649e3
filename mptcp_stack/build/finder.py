"""Finds the compiled modules of a unit, in place of their sources, as long as they are those of these sources."""

from __future__ import annotations

import ctypes
import os
import sys
from _abc import _abc_init  # type: ignore[import-not-found]
from abc import ABCMeta
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Final

from .unit import DIGEST, Unit, digest_of

_INIT: Final = "init_"
"""How in mypyc's library the names of the functions begin that make its modules; a dot in them is `___`."""
_pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_in.argtypes, _pointer_in.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p


class CompiledFinder:
    """Finds the modules that are in one library: an entry of `sys.meta_path`."""

    def __init__(self, unit: Unit, folder: str) -> None:
        """Load the library. Raises OSError, ValueError or ImportError when it is not whole, or not for this machine."""
        self._place = os.path.dirname(unit.package)
        self._file = os.path.join(folder, unit.library_file)
        with open(os.path.join(folder, DIGEST), encoding="ascii") as digest:
            if digest.read() != digest_of(self._file):  # to load what is damaged may end the process
                raise ImportError(f"{self._file} is damaged")
        self._library = _load(unit.library, self._file)
        # Packages that mypyc's code imports itself look for their other modules below where the library is.
        self._library.__file__ = os.path.join(self._place, unit.library_file)
        functions = (name for name in vars(self._library) if name.startswith(_INIT))
        self._functions = {name.removeprefix(_INIT).replace("___", "."): name for name in functions}
        self._without_source = {*self._functions}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, when it is compiled."""
        if fullname not in self._functions:
            return None
        loader = _CompiledLoader(fullname, self._source(fullname), self._file, self)
        return spec_from_file_location(fullname, loader.path, loader=loader)

    def _source(self, fullname: str) -> str:
        path = os.path.join(self._place, *fullname.split("."))
        return os.path.join(path, "__init__.py") if os.path.isdir(path) else f"{path}.py"

    def make(self, fullname: str) -> ModuleType:
        """Have the library make one of its modules, and run it."""
        function = self._functions[fullname]
        name = f"{self._library.__name__}.{function}".encode()
        made: ModuleType = ctypes.PYFUNCTYPE(ctypes.py_object)(_pointer_in(getattr(self._library, function), name))()
        return made

    def complete(self, made: ModuleType) -> None:
        """Let a module say where its source is, and those that it has imported: mypyc's code finds them by itself.

        Their abstract classes get what mypyc has not given them.
        """
        for fullname in self._without_source & sys.modules.keys():
            module = sys.modules[fullname]
            spec = made.__spec__ if module is made else self.find_spec(fullname)
            assert spec is not None
            if module is made or not getattr(module.__spec__, "_initializing", False):
                self._without_source.remove(fullname)
                module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
                _separate_abstract_classes(module)


class _CompiledLoader(SourceFileLoader):
    """Has a module made by the library; what else a loader is asked for, such as its text, is the source's.

    mypyc's own way is an extension module for each.
    """

    def __init__(self, fullname: str, path: str, library: str, finder: CompiledFinder) -> None:
        super().__init__(fullname, path)
        self.library = library
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._finder.make(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: what is made has run."""
        self._finder.complete(module)


def _separate_abstract_classes(module: ModuleType) -> None:
    """Let each keep for itself which classes it knows for its own.

    All that mypyc makes keep it in one place, that of `ABC`, so that a subclass of any was one of every other.
    """
    for one in vars(module).values():
        if isinstance(one, ABCMeta) and one.__module__ == module.__name__ and "_abc_impl" not in vars(one):
            _abc_init(one)


def _load(name: str, file: str) -> ModuleType:
    spec = spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))
    assert spec is not None
    library = module_from_spec(spec)
    sys.modules[name] = library  # where its modules look for it
    return library
