"""Which build is imported: what was compiled of these very sources, whole, or the sources."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import LIBRARY, Tiny, damage

STALE = "pure the stack runs as pure Python: what was compiled is of other sources; './lab build' compiles it"


def test_what_was_compiled_is_imported_with_what_stays_python_beside_it(tiny_compiled: Tiny) -> None:
    assert tiny_compiled.runs() == "compiled"


def test_it_is_declined_by_the_environment(tiny_compiled: Tiny) -> None:
    assert tiny_compiled.runs(MPTCP_LAB_PURE="1") == "pure"
    assert tiny_compiled.runs(MPTCP_LAB_PURE="0") == "compiled"


@pytest.mark.parametrize("name", ["sums.py", "shapes/drawn.py"])
def test_after_an_edit_all_is_python_until_the_edit_is_undone(tiny: Tiny, name: str) -> None:
    before = tiny.source(name).read_text()
    tiny.edit(name)
    assert tiny.runs() == STALE
    tiny.source(name).write_text(before)
    assert tiny.runs() == "compiled"


def test_an_edit_is_what_runs(tiny: Tiny) -> None:
    tiny.edit("sums.py", "sum(numbers)", "sum(numbers) + 7")
    assert tiny.python("import tiny.sums; print(tiny.sums.total([1]))").stdout == "8\n"


@pytest.mark.parametrize("left", [".unfinished", "log", "making"])
def test_never_compiled_is_no_notice(begun: Tiny, left: str) -> None:
    (begun.builds / left).mkdir(exist_ok=True)
    assert begun.runs() == "pure"


def test_what_an_editor_leaves_beside_a_source_is_no_source(tiny: Tiny) -> None:
    tiny.source("shapes/.#square.py").symlink_to("me@here.4711:1")
    tiny.source("shapes/._square.py").write_text("not Python")
    assert tiny.runs() == "compiled"


def test_a_source_that_cannot_be_read_is_one_line(tiny: Tiny) -> None:
    tiny.source("shapes/gone.py").symlink_to("nowhere")
    said = tiny.runs()
    assert said.startswith("pure the stack runs as pure Python: what was compiled cannot be loaded (")
    assert said.endswith("shapes/gone.py'); './lab build' compiles it")


def test_modules_tell_where_their_sources_are(tiny_compiled: Tiny) -> None:
    told = tiny_compiled.python("""
import inspect, pkgutil, sys, tiny.shapes
from tiny import sums
assert hasattr(sums.__loader__, "library")
print(sorted(found.name for found in pkgutil.iter_modules(tiny.shapes.__path__)))
for module in tiny.shapes, sys.modules["tiny.shapes.square"], sums:
    assert module.__loader__.library == sums.__loader__.library
    assert module.__spec__.loader is module.__loader__ and module.__spec__.origin == module.__file__
    assert inspect.getsource(module) == open(module.__file__).read()
assert inspect.getsource(tiny.shapes.Square).startswith("class Square:")
""")
    assert told.stdout == "['drawn', 'square']\n"


def test_a_module_that_is_a_program_runs(tiny_compiled: Tiny) -> None:
    ran = tiny_compiled.python("import runpy, tiny.shapes; print(runpy.run_module('tiny.shapes.square')['__file__'])")
    assert ran.stdout == f"{tiny_compiled.source('shapes/square.py')}\n"


def test_importing_the_package_anew_changes_nothing(tiny: Tiny) -> None:
    again = """
import importlib, sys, tiny
finders = [*sys.meta_path]
importlib.reload(tiny)
assert sys.meta_path == finders
"""
    tiny.python(again + "import tiny.sums; assert hasattr(tiny.sums.__loader__, 'library')")
    build = tiny.build.rename(tiny.builds / "hidden")
    tiny.python(f"import os, tiny; os.rename({str(build)!r}, {str(tiny.build)!r})\n{again}")


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def _zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize(
    ("name", "damage"),
    [(LIBRARY, _cut), (LIBRARY, damage), (LIBRARY, Path.unlink), ("digest", _zero), ("digest", Path.unlink)],
)
def test_what_is_damaged_is_not_used(tiny: Tiny, name: str, damage: Callable[[Path], None]) -> None:
    damage(tiny.build / name)
    said = tiny.runs()
    assert said.startswith("pure the stack runs as pure Python: what was compiled cannot be loaded (")
    assert said.endswith("; './lab build' compiles it")
    assert len(said.splitlines()) == 1
