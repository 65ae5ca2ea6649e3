"""A package of four modules that is compiled as the stack is, in a second."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from mptcp_stack.build import make
from mptcp_stack.build.unit import Unit

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
LIBRARY = f"tiny__mypyc{EXTENSION_SUFFIXES[0]}"
MEMBERS, INTERPRETED = ("shapes", "sums.py"), {"shapes/drawn.py": "shows that it may be"}

SOURCES = {
    "__init__.py": f"""
        from mptcp_stack.build import use_compiled
        from mptcp_stack.build.unit import Unit
        use_compiled(Unit(__path__[0], {MEMBERS}, {INTERPRETED}))
    """,
    "sums.py": """
        def total(numbers: list[int]) -> int:
            return sum(numbers)
    """,
    "shapes/__init__.py": """
        from .square import Square
        __all__ = ["Square"]
    """,
    "shapes/square.py": """
        from tiny.sums import total
        class Square:
            def __init__(self, side: int) -> None:
                self.side = side
            def around(self) -> int:
                return total([self.side] * 4)
    """,
    "shapes/drawn.py": """
        from tiny.shapes.square import Square
        def draw(square: Square) -> str:
            return "#" * square.side
    """,
}
WHAT_RUNS = """
import mptcp_stack.build, sys, tiny.shapes, tiny.sums, tiny.shapes.drawn as drawn
square = tiny.shapes.Square(3)
assert (square.around(), drawn.draw(square), tiny.sums.total([1, 2])) == (12, "###", 3)
modules = tiny.shapes, sys.modules["tiny.shapes.square"], tiny.sums
builds = {"compiled" if hasattr(module.__loader__, "library") else "pure" for module in modules}
assert builds == {mptcp_stack.build.running()}, builds
assert drawn.__file__.endswith("/tiny/shapes/drawn.py") and "/_compiled/" not in drawn.__file__
print(*builds, mptcp_stack.build.notice())
"""


@dataclass(frozen=True)
class Tiny:
    """The package in a place of its own, and what is done with it there."""

    unit: Unit

    @property
    def builds(self) -> Path:
        return Path(self.unit.builds)

    @property
    def build(self) -> Path:
        """The folder that what was compiled of the present sources is in."""
        return self.builds / self.unit.key()

    @property
    def log(self) -> list[str]:
        return (self.builds / "making" / "log").read_text().splitlines()

    def source(self, name: str) -> Path:
        return Path(self.unit.package, name)

    def edit(self, name: str, old: str = "", new: str = "# an edit\n") -> None:
        text = self.source(name).read_text()
        self.source(name).write_text(text.replace(old, new) if old else text + new)

    def make(self) -> tuple[bool, list[str]]:
        """Compile it; whether that was to be done, and what was said meanwhile."""
        said: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))
            return make.build(self.unit, said.append), said

    def runs(self, **environment: str) -> str:
        """Which build another process gets when it imports it, in use; and what the notice is."""
        return self.python(WHAT_RUNS, **environment).stdout.strip()

    def python(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code]
        inherited = {name: value for name, value in os.environ.items() if name != "MPTCP_LAB_PURE"}
        environment = {**inherited, "PYTHONPATH": str(ROOT), **environment}
        place = Path(self.unit.package).parent
        return subprocess.run(command, cwd=place, env=environment, check=True, capture_output=True, text=True)


def damage(file: Path) -> None:
    """Change a byte in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


@pytest.fixture(scope="session")
def tiny_compiled(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The package, compiled; not to be changed."""
    package = tmp_path_factory.mktemp("compiled") / "tiny"
    for name, text in SOURCES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(textwrap.dedent(text))
    if os.geteuid() == 0:
        os.chown(package, NOBODY, NOBODY)
    tiny = Tiny(Unit(str(package), MEMBERS, INTERPRETED))
    made, said = tiny.make()
    assert made
    assert said[0].startswith("compiling the core, 3 modules")
    return tiny


@pytest.fixture
def tiny(tiny_compiled: Tiny, tmp_path: Path) -> Tiny:
    """The package, compiled, to be changed by one test."""
    package = shutil.copytree(tiny_compiled.unit.package, tmp_path / "a place" / "tiny")
    return Tiny(tiny_compiled.unit._replace(package=str(package)))


@pytest.fixture
def begun(tiny: Tiny) -> Tiny:
    """The package with one file left to compile, as when it was interrupted."""
    shutil.rmtree(tiny.build)
    for left in (tiny.builds / "making" / "o").glob("*square*.o"):
        left.unlink()
    return tiny


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Puts a shell script in place of the C compiler, or nothing."""

    def put(script: str | None) -> None:
        programs = tmp_path / "programs"
        programs.mkdir()
        if script is not None:
            (programs / "cc").write_text(f"#!/bin/sh\n{script}\n")
            (programs / "cc").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/nowhere" if script is None else f"{programs}:{os.environ['PATH']}")

    return put
