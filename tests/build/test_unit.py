"""The key of a compiled unit: what changes it, and what does not."""

from pathlib import Path

import grimp
import pytest

from mptcp_stack.build.unit import STACK, Unit


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """A package with members, and a module beside them."""
    package = tmp_path / "tiny"
    (package / "shapes" / "solid").mkdir(parents=True)
    for name in ("__init__.py", "sums.py", "beside.py", "shapes/__init__.py", "shapes/solid/cube.py"):
        (package / name).write_text(f"NAME = {name!r}\n")
    return Unit(str(package), ("sums.py", "shapes"), {"shapes/solid/cube.py": "shows that it may"})


def test_sources_are_all_modules_of_the_members(unit: Unit) -> None:
    assert unit.sources() == ["shapes/__init__.py", "shapes/solid/cube.py", "sums.py"]
    assert unit.compiled() == ["shapes/__init__.py", "sums.py"]


@pytest.mark.parametrize("name", ["sums.py", "shapes/__init__.py", "shapes/solid/cube.py", "shapes/another.py"])
def test_an_edit_of_a_member_changes_the_key(unit: Unit, name: str) -> None:
    key = unit.key()
    with open(Path(unit.package, name), "a") as source:
        source.write("# a comment is an edit as well\n")
    assert unit.key() != key


def test_a_file_that_goes_or_changes_its_place_changes_the_key(unit: Unit) -> None:
    key = unit.key()
    moved = Path(unit.package, "shapes/sums.py")
    Path(unit.package, "sums.py").rename(moved)
    changed = unit._replace(members=("shapes",))
    assert changed.key() != key
    key = changed.key()
    moved.unlink()
    assert changed.key() != key


@pytest.mark.parametrize("name", ["beside.py", "__init__.py", "shapes/notes.txt"])
def test_an_edit_outside_of_the_members_does_not_change_the_key(unit: Unit, name: str) -> None:
    key = unit.key()
    with open(Path(unit.package, name), "a") as file:
        file.write("# of no member\n")
    assert unit.key() == key


def test_what_is_compiled_otherwise_has_another_key(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [unit.key(), unit._replace(interpreted={}).key()]
    for lock in ("mypy==1.0 \\\n", "mypy==2.0 \\\n"):
        Path(unit.package).with_name("requirements.lock").write_text(f"# written\n{lock}")
        keys.append(unit.key())
    for name, value in {"EXTENSION_SUFFIXES": [".cpython-399-vax.so"], "FLAGS": ("-O0",)}.items():
        monkeypatch.setattr(f"mptcp_stack.build.unit.{name}", value)
        keys.append(unit.key())
    assert len(set(keys)) == 6


def test_all_that_a_compiled_module_of_the_stack_imports_is_in_the_key() -> None:
    graph = grimp.build_graph("mptcp_stack", cache_dir=None)

    def modules(files: list[str]) -> set[str]:
        return {f"mptcp_stack.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}" for file in files}

    imported = {
        name for module in modules(STACK.compiled()) for name in graph.find_modules_directly_imported_by(module)
    }
    assert imported - modules(STACK.sources()) == set()


def test_the_stack_knows_its_mypy() -> None:
    assert STACK.mypy()
