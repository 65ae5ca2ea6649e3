"""Which form is imported: what was compiled of these very sources, whole, or the sources."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SUFFIX, Tiny

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


def test_never_compiled_is_no_notice(begun: Tiny) -> None:
    assert begun.runs() == "pure"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def _zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


LIBRARY = f"tiny__mypyc{SUFFIX}"


@pytest.mark.parametrize(
    ("name", "damage"),
    [(LIBRARY, _cut), (LIBRARY, _zero), (LIBRARY, Path.unlink), ("size", _zero), ("size", Path.unlink)],
)
def test_what_is_damaged_is_not_used(tiny: Tiny, name: str, damage: Callable[[Path], None]) -> None:
    damage(tiny.build / name)
    said = tiny.runs()
    assert said.startswith("pure the stack runs as pure Python: what was compiled cannot be loaded (")
    assert said.endswith("; './lab build' compiles it")
    assert len(said.splitlines()) == 1
