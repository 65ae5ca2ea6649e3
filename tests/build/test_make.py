"""Compiling: only what has changed, whole or not at all, and one line when it cannot be done."""

import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mptcp_stack.build import make

from .conftest import LIBRARY, ROOT, Tiny, damage

Put = Callable[[str | None], None]

BUILD = """
from mptcp_stack.build import make
from mptcp_stack.build.unit import Unit
import os, sys
try:
    print(make.build(Unit(os.path.abspath("tiny"), ("shapes", "sums.py"), {"shapes/drawn.py": ""}), print))
except make.BuildError as error:
    sys.exit(str(error))
"""


def start(tiny: Tiny, **how: object) -> subprocess.Popen[str]:
    """Compile it in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD], cwd=Path(tiny.unit.package).parent, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def fails(tiny: Tiny) -> str:
    """What is said when it cannot be compiled: one line, and nothing is there that would be imported."""
    with pytest.raises(make.BuildError) as error:
        tiny.make()
    assert not tiny.build.exists()
    assert not (tiny.builds / ".unfinished").exists()
    assert tiny.runs() == "pure"
    line = str(error.value)
    assert line.splitlines() == [line]
    return line


C_FILES = 5
"""Of the package: one a module, one that is of all, and mypyc's runtime."""


def objects(tiny: Tiny) -> dict[str, int]:
    files = (path for path in tiny.builds.glob("making/o/**/*") if path.suffix in (".o", ".so"))
    return {path.name: path.stat().st_mtime_ns for path in files}


def outcome(tiny: Tiny) -> str:
    return (tiny.builds / "making" / "outcome").read_text().strip()


def test_what_is_compiled_is_not_compiled_again(tiny: Tiny) -> None:
    assert tiny.make() == (False, [])


def test_only_what_has_changed_is_compiled(tiny: Tiny) -> None:
    before = objects(tiny)
    tiny.edit("sums.py", "sum(numbers)", "sum(numbers) + 7")
    assert tiny.make()[0]
    changed = {name for name, when in objects(tiny).items() if when != before[name]}
    assert changed == {"__native_tiny___sums.c.o", LIBRARY}
    what_runs = "from tiny import sums; print(sums.total([1]), hasattr(sums.__loader__, 'library'))"
    assert tiny.python(what_runs).stdout == "8 True\n"


def test_another_compiler_compiles_all(begun: Tiny, compiler: Put) -> None:
    before = objects(begun)
    compiler(f'[ "$1" = --version ] && echo another || exec {shutil.which("cc")} "$@"')
    begun.make()
    assert not before.items() & objects(begun).items()


def test_another_mypy_translates_and_compiles_all(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = objects(begun)
    (begun.builds / "making/c/library.json").touch()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    begun.make()
    assert not before.items() & objects(begun).items()
    assert "99.0" in (begun.builds / "making/translated").read_text()


@pytest.mark.parametrize(
    "name", ["c/__native_tiny___sums.c", "c/__native_tiny.h", "o/__native_tiny___sums.c.o", f"o/{LIBRARY}"]
)
def test_what_is_damaged_is_made_again(begun: Tiny, name: str) -> None:
    damage(begun.builds / "making" / name)
    assert begun.make()[0]
    assert begun.runs() == "compiled"


def test_what_cannot_be_imported_is_made_again_from_the_beginning(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = objects(begun)
    fails_once = "import os, sys; os.path.exists('tried') or (open('tried', 'w'), sys.exit(1))"
    monkeypatch.setattr(make, "_IMPORT_ALL", fails_once)
    assert begun.make()[0]
    assert not before.items() & objects(begun).items()


def test_it_is_on_the_disk_before_it_appears(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, bool]] = []

    def fsync(descriptor: int) -> None:
        written.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, begun.build.exists()))

    monkeypatch.setattr("os.fsync", fsync)
    begun.make()
    parts = {(name, False) for name in ("digest", LIBRARY, ".unfinished")}
    assert {*written[:-1]} == parts
    assert written[-1] == ("_compiled", True)


def test_a_try_that_was_killed_leaves_no_outcome(begun: Tiny, compiler: Put, tmp_path: Path) -> None:
    (begun.builds / "making" / "outcome").unlink()
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "never")
    compiler(f"echo >{tmp_path}/started; exec cat {tmp_path}/never")
    process = start(begun, start_new_session=True)
    (tmp_path / "started").read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (begun.builds / "making" / "outcome").exists()
    shutil.rmtree(tmp_path / "programs")
    begun.make()
    assert outcome(begun) == "compiled"


def test_a_package_behind_a_symbolic_link(begun: Tiny, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(Path(begun.unit.package).parent)
    linked = Tiny(begun.unit._replace(package=str(tmp_path / "link" / "tiny")))
    assert linked.make()[0]


def test_the_two_newest_stay(tiny: Tiny) -> None:
    for age, key in enumerate(("newest", "before", "old", "oldest")):
        shutil.copytree(tiny.build, tiny.builds / key)
        os.utime(tiny.builds / key / "digest", (1e9 - age, 1e9 - age))
    shutil.rmtree(tiny.build)
    make._remove_old(tiny.builds)
    assert {path.name for path in tiny.builds.iterdir()} == {"newest", "before", "making"}


def test_it_belongs_to_whom_the_package_does(tiny_compiled: Tiny) -> None:
    owners = {path.lstat().st_uid for path in (tiny_compiled.builds, *tiny_compiled.builds.rglob("*"))}
    assert owners == {os.stat(tiny_compiled.unit.package).st_uid}


def test_no_compiler(begun: Tiny, compiler: Put) -> None:
    compiler(None)
    assert fails(begun) == f"no C compiler (cc) is here (log: {begun.builds}/making/log)"
    assert begun.log == [outcome(begun)] == ["no C compiler (cc) is here"]


def test_no_headers(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: f"/nowhere/{name}")
    assert fails(begun).startswith("no headers of this Python are here (/nowhere/include/Python.h) (log: ")


def test_another_mypy(begun: Tiny) -> None:
    Path(begun.unit.package).with_name("requirements.lock").write_text("# written\nmypy==0.1 \\\n")
    assert "is installed, not 0.1 as in requirements.lock" in fails(begun)


def test_a_compiler_that_fails(begun: Tiny, compiler: Put) -> None:
    compiler("echo 'tiny.c:1: error: not today' >&2; exit 1")
    assert fails(begun).startswith("cc failed: tiny.c:1: error: not today (log: ")


def test_sources_that_mypyc_does_not_take(tiny: Tiny) -> None:
    shutil.rmtree(tiny.build)
    tiny.edit("sums.py", new="wrong: int = 'text'\n")
    assert fails(tiny).startswith("mypyc failed: tiny/sums.py:4: error: Incompatible types in assignment")


def test_a_source_that_changes_meanwhile(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tiny.build)
    tiny.edit("sums.py")
    monkeypatch.setattr(make, "_translate", lambda *_: tiny.edit("sums.py"))
    assert fails(tiny).startswith("a source was changed meanwhile")


def test_what_cannot_be_imported_does_not_stay(begun: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_IMPORT_ALL", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert fails(begun).startswith("what was compiled cannot be imported")


def test_a_place_that_cannot_be_written_to(begun: Tiny) -> None:
    shutil.rmtree(begun.builds)
    begun.builds.write_text("")  # root may write anywhere, but not here
    with pytest.raises(make.BuildError, match=rf"^{begun.builds}: (File exists|Not a directory)"):
        begun.make()


def test_a_full_disk(begun: Tiny) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    _, said = start(begun, preexec_fn=no_room).communicate()
    assert said.startswith("cc failed: "), said
    assert len(said.splitlines()) == 1
    assert not begun.build.exists()


def test_interrupted_and_continued(begun: Tiny, compiler: Put, tmp_path: Path) -> None:
    """Nothing is begun after the interruption, and what runs is ended with what it has started."""
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "never")
    compiler(f'[ "$1" = --version ] || {{ echo >{tmp_path}/started; cat {tmp_path}/never; }}')
    process = start(begun, start_new_session=True)
    with (
        open(os.open(tmp_path / "started", os.O_RDWR), "rb", buffering=0) as started,  # nobody waits for its reader
        (tmp_path / "never").open("wb", buffering=0) as never,
    ):
        for _ in range(min(len(os.sched_getaffinity(0)), C_FILES)):
            started.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
        assert not select.select([started], [], [], 0)[0], "another compiler was started"
        readers = select.poll()
        readers.register(never, 0)
        assert readers.poll(20_000) == [(never.fileno(), select.POLLERR)], "what a compiler had started goes on"
    assert process.communicate()[1] == f"interrupted (log: {begun.builds}/making/log)\n"
    assert begun.log[-1] == outcome(begun) == "interrupted"
    assert not begun.build.exists()
    shutil.rmtree(tmp_path / "programs")
    assert begun.make()[0]
    assert begun.runs() == "compiled"


def test_two_at_once_compile_once(begun: Tiny) -> None:
    both = [start(begun) for _ in range(2)]
    said = sorted(process.communicate()[0].splitlines()[-1] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["False", "True"]
    assert begun.runs() == "compiled"
