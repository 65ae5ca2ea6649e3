"""The code that points are measured with: what of the lab and of the user's takes part in them.

To a point's identity belong the tree `testbed/` and, where our stack takes part, `mptcp_stack/`, with the key of what
was compiled of it where that is what runs; the experiment's file; the templates of its network, and traces; and every
module that a user named: a stack, scheduler, congestion control, path manager, collector, middlebox or experiment. With
a module counts what it imports, as far as that is neither Python's, nor an installed package's, nor in one of the
trees, nor in `analysis/`. How parts are called and compared is said in `analysis.code`.

What a module imports is read from its text, also within functions. Where the text does not tell (a computed name, a
file without a text, a name that is not found because the module itself adds a place to `sys.path`), another Python is
asked what is there after the import.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import code, files
from mptcp_stack.build.unit import STACK
from testbed.errors import LabError
from testbed.spec import trace
from testbed.spec.templates import template_files

if TYPE_CHECKING:
    from testbed.experiment import Experiment
    from testbed.stacks import StackUnderTest

COPIES = "code"
"""Where in a run directory the files are copied to, each version into a folder that its digest names."""

OUR_STACK, LAB = "mptcp_stack", "testbed"
CORE = "compiled core"
"""The part that points have in addition where our stack ran compiled; known by the build's key."""
_NEVER_OWN = (*code.TREES, "analysis", STACK.library)
"""Top-level names that are in a tree or compiled of one, or do not count."""

_MODULE_AND_CLASS = re.compile(r"(?<![\w.:])([A-Za-z_][\w.]*):[A-Za-z_]\w*(?![\w.])")
_ENVIRONMENT = tuple(
    Path(place).resolve()
    for place in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *([sys.prefix] if sys.prefix != sys.base_prefix else []),
    )
)
_PACKAGES = {"site-packages", "dist-packages"}
_IMPORTERS = {"import_module", "__import__"}
_IMPORT_LIMIT_S = 30.0
_IMPORT_AND_TELL = """\
import importlib, json, sys
importlib.import_module(sys.argv[1])
loaded = [(name, module) for name, module in sys.modules.items() if getattr(module, "__file__", None)]
print("\\n" + json.dumps([(name, module.__file__, hasattr(module, "__path__")) for name, module in loaded]))
"""


class Code:
    """Parts of the code, as each was when it was first looked at.

    Programs are started anew for each point and read what is there by then, but this process keeps what it has loaded:
    so a change under a run ends the run, and is measured by the next one.
    """

    def __init__(self) -> None:
        self._read: dict[str, Callable[[], bytes | None]] = {}
        self._first: dict[str, str] = {}
        self._stamps: dict[str, Any] = {}

    def parts(
        self, experiment: Experiment[Any], name: str, stack: StackUnderTest, asked: Mapping[str, Any]
    ) -> dict[str, str]:
        """What points of `experiment` on the stack called `name` are measured with: the digest of every part.

        `asked` is what else was asked for, as JSON values; user's modules in it are named `module:Class`, traces by
        file and SHA-256.
        """
        texts = [name, stack.congestion, *getattr(stack, "settings", ()), *experiment.collectors, *_texts(asked)]
        own = _Imports()
        own.follow(_of_classes(type(stack)), names=True)
        own.follow(_of_classes(type(experiment)))
        own.follow(own.named(texts))
        found = {module.part: module.path for module in own.modules.values()}
        found |= template_files(experiment.template) | _traces(experiment.template, asked)
        self._read |= {part: path.read_bytes for part, path in found.items()}
        more = experiment.more_code(name)
        self._read |= {part: partial(code.part_bytes, part) for part in more}
        trees = [LAB]
        if own.our_stack or experiment.needs_our_stack(stack):
            trees += [OUR_STACK, CORE] if stack.build == "compiled" else [OUR_STACK]
        return {part: self._known(part) for part in sorted({*trees, *found, *more})}

    def _known(self, part: str) -> str:
        if part not in self._first:
            self._first[part] = self._now(part)
        return self._first[part]

    def _now(self, part: str) -> str:
        if part == CORE:
            return STACK.key()
        if part not in code.TREES:
            return code.digest(self._content(part))
        stamp = code.tree_stamp(part)
        if self._stamps.get(part) == stamp:
            return self._first[part]
        self._stamps.setdefault(part, stamp)
        return code.tree_digest(part)

    def _content(self, part: str) -> bytes:
        content = self._read[part]()
        if content is None:
            raise LabError(f"{part}: is not there")
        return content

    def require_unchanged(self, parts: Mapping[str, str]) -> None:
        """Raise LabError when a part is not what it was: what runs now is then not what was asked for."""
        for part, known in parts.items():
            if self._now(part) != known:
                raise LabError(
                    f"{part}: has changed since this run began; what was measured until then is kept,"
                    " run it again to measure with what is there now"
                )

    def copy(self, parts: Mapping[str, str], directory: Path) -> None:
        """Put the files among `parts` below `directory`, each version once. Raises LabError when one has changed."""
        for part, known in parts.items():
            if part in code.TREES or part == CORE:
                continue
            place = files.within(directory, COPIES, known[:16], part)
            if place.exists():
                continue
            content = self._content(part)
            if code.digest(content) != known:
                self.require_unchanged({part: known})
            place.parent.mkdir(parents=True, exist_ok=True)
            files.replace(place, content)


def differing(recorded: Mapping[str, str] | None, parts: Mapping[str, str]) -> list[str]:
    """Which parts of a point that is there are others than `parts`; of one without a record nothing is known."""
    if not recorded:
        return ["code not recorded"]
    return sorted(part for part in {*recorded, *parts} if recorded.get(part) != parts.get(part))


# --- modules


@dataclass(frozen=True)
class _Module:
    """A module that is somebody's own: a user's, or an experiment."""

    name: str
    path: Path
    is_package: bool

    @property
    def part(self) -> str:
        """What it is called: its path below the place where Python found it."""
        places = self.name.split(".")
        return "/".join([*(places if self.is_package else places[:-1]), self.path.name])

    @property
    def package(self) -> str:
        """What its relative imports are relative to."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


class _Imports:
    """What some modules import, of what is somebody's own; `our_stack`: whether also what is in mptcp_stack/."""

    def __init__(self) -> None:
        self.modules: dict[str, _Module] = {}
        self.our_stack = False
        self._specs: dict[str, ModuleSpec | None] = {}
        importlib.invalidate_caches()

    def follow(self, modules: Iterable[_Module], names: bool = False) -> None:
        """Add `modules` and whatever they import; with `names` also modules that their texts name as `module:Class`."""
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module.name in self.modules:
                continue
            self.modules[module.name] = module
            text = _Text.of(module, module.path.read_bytes())
            waiting += self._imported(text.imported)
            if names:
                waiting += self.named(text.strings)
            if text.unclear or not all(map(self._is_there, text.needed)):
                waiting += _after_import(module.name, code.digest(module.path.read_bytes()))

    def named(self, texts: Iterable[str]) -> Iterator[_Module]:
        """The modules that texts name as `module:Class`, as far as they are there and somebody's own."""
        for text in texts:
            for found in _MODULE_AND_CLASS.finditer(text):
                yield from self._own(found[1])

    def _imported(self, names: Iterable[str]) -> Iterator[_Module]:
        for name in names:
            self.our_stack = self.our_stack or name.partition(".")[0] == OUR_STACK
            yield from self._own(name)

    def _own(self, name: str) -> Iterator[_Module]:
        """The module of that name and the packages that it is in, as far as they are somebody's own."""
        places = name.split(".")
        if not _may_be_own(places[0]):
            return
        for depth in range(1, len(places) + 1):
            module = _own(self._spec(".".join(places[:depth])))
            if module is not None:
                yield module

    def _is_there(self, name: str) -> bool:
        top = name.partition(".")[0]
        return top in sys.stdlib_module_names or not _may_be_own(top) or self._spec(name) is not None

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            self._specs[name] = _find(name)
        return self._specs[name]


@dataclass
class _Text:
    """What the text of a module says: names that may be modules, those that must be, and strings."""

    imported: list[str]
    needed: list[str]
    strings: list[str]
    unclear: bool = False

    @classmethod
    @cache
    def of(cls, module: _Module, content: bytes) -> _Text:
        """Read it; of a module without a readable text nothing is clear."""
        found = cls([], [], [])
        try:
            tree = ast.parse(content) if module.path.suffix == ".py" else None
        except (SyntaxError, ValueError):  # told by whoever imports it
            return found
        if tree is None:
            return cls([], [], [], unclear=True)
        for node in ast.walk(tree):
            found._read(node, module)
        return found

    def _read(self, node: ast.AST, module: _Module) -> None:
        if isinstance(node, ast.Import):
            self.imported += (names := [alias.name for alias in node.names])
            self.needed += names
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", node.level, module)
            self.imported += [base, *(f"{base}.{alias.name}" for alias in node.names)]
            self.needed.append(base)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.strings.append(node.value)
        elif isinstance(node, ast.Call) and _called(node.func) in _IMPORTERS:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                name = first.value.lstrip(".")
                self.imported.append(_absolute(name, len(first.value) - len(name), module))
            else:
                self.unclear = True


def _absolute(name: str, level: int, module: _Module) -> str:
    if not level:
        return name
    package = module.package.split(".")
    return ".".join(filter(None, [*package[: len(package) - level + 1], name]))


def _called(function: ast.expr) -> str:
    return getattr(function, "id", "") or getattr(function, "attr", "")


def _of_classes(kind: type) -> Iterator[_Module]:
    """The modules in which a class and those that it builds upon are defined, if they are somebody's own."""
    for one in kind.__mro__:
        module = sys.modules.get(one.__module__)
        place = getattr(module, "__file__", None)
        if place and _may_be_own(one.__module__.partition(".")[0]) and not _installed(Path(place)):
            yield _Module(one.__module__, Path(place), hasattr(module, "__path__"))


def _find(name: str) -> ModuleSpec | None:
    """Where Python would find a module, without importing anything, not even the packages that it is in."""
    spec, place = None, None
    places = name.split(".")
    for depth in range(1, len(places) + 1):
        spec = _found(".".join(places[:depth]), place)
        if spec is None or (spec.submodule_search_locations is None and depth < len(places)):
            return None
        place = list(spec.submodule_search_locations or ())
    return spec


def _found(name: str, place: list[str] | None) -> ModuleSpec | None:
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    try:
        return next((spec for finder in finders if (spec := finder.find_spec(name, place)) is not None), None)
    except KeyError:  # a namespace in a package that is not imported: its finder asks sys.modules for that one
        found = ModuleSpec(name, None, is_package=True)
        folders = (os.path.join(one, name.rpartition(".")[2]) for one in place or ())
        found.submodule_search_locations = [folder for folder in folders if os.path.isdir(folder)]
        return found


def _own(spec: ModuleSpec | None) -> _Module | None:
    """The module behind a spec, if it has a file and is nobody else's: a namespace has none."""
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    path = Path(getattr(spec.loader, "archive", spec.origin))
    if _installed(path) or not path.is_file():
        return None
    return _Module(spec.name, path, spec.submodule_search_locations is not None)


def _may_be_own(top: str) -> bool:
    return top not in _NEVER_OWN


def _installed(path: Path) -> bool:
    resolved = path.resolve()
    return bool(_PACKAGES & set(resolved.parts)) or any(resolved.is_relative_to(place) for place in _ENVIRONMENT)


@cache
def _after_import(name: str, known: str) -> list[_Module]:
    """Ask another Python, with this one's places, what of somebody's own is there when it has imported a module.

    Nothing if it cannot be imported. `known` says in which version it is asked for.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(place or os.getcwd() for place in sys.path)}
    command = [sys.executable, "-P", "-c", _IMPORT_AND_TELL, name]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=_IMPORT_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        there = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):  # told by whoever imports it
        return []
    modules = [_Module(name, Path(path), is_package) for name, path, is_package in there]
    return [one for one in modules if _may_be_own(one.name.partition(".")[0]) and not _installed(one.path)]


# --- what was asked for


def _texts(value: Any) -> Iterator[str]:
    """The strings among JSON values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _traces(template: str, value: Any) -> dict[str, Path]:
    """The files of the traces in networks as JSON values: those of their names that have the bytes."""
    found: dict[str, Path] = {}
    if isinstance(value, Mapping) and {"file", "sha256"} <= set(value):
        name = str(value["file"])
        for path in (Path(name), Path(template).parent / name, trace.DIRECTORY / name):
            if path.is_file() and code.digest(path.read_bytes()) == value["sha256"]:
                of_the_lab = path.resolve().parent == trace.DIRECTORY
                return {f"topologies/traces/{path.name}" if of_the_lab else path.name: path}
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            found |= _traces(template, one)
    return found
