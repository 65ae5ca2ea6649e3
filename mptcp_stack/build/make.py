"""Compiles a unit: its modules to C by mypyc, that by the C compiler, into the folder of its key.

What is compiled appears whole (its folder is renamed), and stays when all of it can be imported. That of the sources
before is kept as well: who goes back to them, and forth, need not wait. Beside them is `making`, by which only what has
changed is compiled again; its `log` has what all programs said.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Final

from . import PURE
from .steps import Step, StepError, run
from .unit import DIGEST, FLAGS, MAKING, TRANSLATE, Unit, digest_of

Say = Callable[[str], None]

_C_FILES, _OBJECTS = "c", "o"
_LOG: Final = "log"
_OUTCOME: Final = "outcome"
"""The file in the folder of work that says how the last try ended. While it is missing, `lab` tries at each start."""
_TRANSLATED: Final = "translated"
"""The file in the folder of work that says of what its C files are, and what they were then."""
_UNFINISHED: Final = ".unfinished"
_KEPT_BUILDS: Final = 2
_TOLD_EVERY: Final = 40
_IMPORT_ALL: Final = """
import importlib, os, sys
library, *modules = sys.argv[1:]
for name in modules:
    loader = importlib.import_module(name).__loader__
    if not os.path.samefile(getattr(loader, "library", os.devnull), library):
        sys.exit(f"{name} is {loader.path}")
"""


class BuildError(Exception):
    """Nothing was compiled; one line says why."""


def build(unit: Unit, say: Say, work: Path | None = None, try_it: bool = True) -> bool:
    """Compile a unit as it is now; return False when that had been done. `say` gets lines about how far it is.

    `work` is the folder of what is kept to compile only changes. `try_it`: whether to import all of it, once.
    Raises BuildError, with KeyboardInterrupt as its cause when it was interrupted; what had been compiled by then need
    not be again.
    """
    builds = Path(unit.builds)
    work = work or builds / MAKING
    try:
        builds.mkdir(exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        with _alone_in(builds, say), open(work / _LOG, "wb", buffering=0) as log:
            outcome = "compiled"
            try:
                return _build(unit, log, say, work, try_it)
            except (BuildError, OSError, KeyboardInterrupt) as error:
                outcome = _in_words(error)
                raise
            finally:
                log.write(f"{outcome}\n".encode())
                (work / _OUTCOME).write_text(f"{outcome}\n")
                _give_to_owner(unit)
    except (BuildError, OSError, KeyboardInterrupt) as error:
        where = f" (log: {work / _LOG})" if (work / _LOG).exists() else ""
        raise BuildError(f"{_in_words(error)}{where}") from error


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)


@contextmanager
def _alone_in(builds: Path, say: Say) -> Iterator[None]:
    """Wait until nobody else builds here."""
    folder = os.open(builds, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start compiles the core: waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _build(unit: Unit, log: IO[bytes], say: Say, work: Path, try_it: bool) -> bool:
    key, began = unit.key(), time.monotonic()
    folder = Path(unit.builds, key)
    if folder.exists() and (not try_it or _can_be_imported(unit, folder, log)):
        return False
    _require_tools(unit)
    modules = len(unit.compiled())
    say(f"compiling the core, {modules} modules (once for these sources, about a minute)")
    used_before = (work / _OBJECTS).exists()
    _publish(_make(unit, key, work, log, say), folder)
    if try_it and not _can_be_imported(unit, folder, log):
        shutil.rmtree(folder)
        if not used_before:
            raise BuildError("what was compiled cannot be imported")
        say("what was compiled cannot be imported: once more, from the beginning")
        shutil.rmtree(work / _OBJECTS)
        (work / _TRANSLATED).unlink()
        return _build(unit, log, say, work, try_it)
    _remove_old(Path(unit.builds))
    say(f"the core is compiled, after {time.monotonic() - began:.0f} s")
    return True


def _require_tools(unit: Unit) -> None:
    """Raise BuildError when something is missing that compiles."""
    if shutil.which("cc") is None:
        raise BuildError("no C compiler (cc) is here")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise BuildError(f"no headers of this Python are here ({header})")
    try:
        mypy = metadata.version("mypy")
    except metadata.PackageNotFoundError:
        raise BuildError("mypy is not installed") from None
    if unit.mypy() not in ("", mypy):
        raise BuildError(f"mypy {mypy} is installed, not {unit.mypy()} as in requirements.lock")


def _make(unit: Unit, key: str, work: Path, log: IO[bytes], say: Say) -> Path:
    """Make what is not there in the folder of work; return the library."""
    tools, c_files, translated = _tools(), work / _C_FILES, work / _TRANSLATED
    if _text_of(translated) != _state(c_files, key, tools):
        translated.unlink(missing_ok=True)
        _translate(unit, c_files, log)
        if unit.key() != key:
            raise BuildError("a source was changed meanwhile")
        translated.write_text(_state(c_files, key, tools))
    return _compile(unit, tools, work, log, say)


def _tools() -> str:
    """Return the versions of what compiles, also of its headers, which the C compiler does not list as the system's."""
    compiler = subprocess.run(["cc", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    return "\n".join([sys.version, metadata.version("mypy"), *compiler.splitlines()[:1]])


def _state(c_files: Path, key: str, tools: str) -> str:
    files = sorted(path for path in c_files.rglob("*") if path.is_file())
    return "\n".join([key, tools, *(f"{digest_of(path)} {path.name}" for path in files)])


def _translate(unit: Unit, folder: Path, log: IO[bytes]) -> None:
    """Write the unit as C into a folder."""
    files = [f"{unit.name}/{file}" for file in unit.compiled()]
    command = [sys.executable, "-P", TRANSLATE, str(folder), unit.library, *files]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # the same C for the same Python: nothing is compiled twice
    place = os.path.dirname(unit.package)
    if subprocess.run(command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode:
        raise BuildError(f"mypyc failed: {_complaint(log)}")


def _text_of(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _complaint(log: IO[bytes]) -> str:
    """Return the first error that a compiler reported, else the last thing that was said."""
    lines = Path(log.name).read_text(errors="replace").splitlines() or ["it said nothing"]
    return next((line for line in lines if "error: " in line), lines[-1])


def _compile(unit: Unit, tools: str, work: Path, log: IO[bytes], say: Say) -> Path:
    """Compile what mypyc wrote; return the library."""
    needs = json.loads((work / _C_FILES / "library.json").read_text())
    # Headers of Python and mypyc are the system's: `tools` has their versions, their changes are not looked for.
    system = [word for path in (sysconfig.get_path("include"), *needs["headers"]) for word in ("-isystem", path)]

    def step(source: str) -> Step:
        file, output = f"{_C_FILES}/{source}", f"{_OBJECTS}/{source}.o"
        command = ("cc", *FLAGS, *system, "-I", _C_FILES, "-MMD", "-MF", f"{output}.d", "-c", file, "-o", output)
        return Step(output, command, (file,))

    parts = [step(source) for source in needs["sources"]]
    objects, output = tuple(part.output for part in parts), f"{_OBJECTS}/{unit.library_file}"
    library = Step(output, ("cc", *FLAGS, "-shared", *objects, "-o", output), objects)
    try:
        run(parts, tools, work, log, lambda done, of: _tell(done, of, say))
        run([library], tools, work, log, lambda *_: None)
    except StepError:
        raise BuildError(f"cc failed: {_complaint(log)}") from None
    return work / output


def _tell(done: int, of: int, say: Say) -> None:
    if done % _TOLD_EVERY == 0:
        say(f"compiling the core: {done} of {of}")


def _publish(library: Path, folder: Path) -> None:
    """Let this library appear: whole, also after the power has failed."""
    unfinished = folder.with_name(_UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was killed
    try:
        unfinished.mkdir()
        shutil.copyfile(library, unfinished / library.name)
        (unfinished / DIGEST).write_text(digest_of(library))
        for path in (*unfinished.iterdir(), unfinished):
            _synchronise(path)
        shutil.rmtree(folder, ignore_errors=True)  # one that was damaged
        unfinished.rename(folder)
        _synchronise(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _can_be_imported(unit: Unit, folder: Path, log: IO[bytes]) -> bool:
    """Return whether another process gets all modules compiled: libraries may be missing, or mypyc mistaken."""
    files = [file.removesuffix(".py").removesuffix("/__init__") for file in unit.compiled()]
    modules = [f"{unit.name}.{file.replace('/', '.')}" for file in files]
    command = [sys.executable, "-c", _IMPORT_ALL, str(folder / unit.library_file), *modules]
    environment = {name: value for name, value in os.environ.items() if name != PURE}
    place = os.path.dirname(unit.package)
    return not subprocess.run(command, cwd=place, env=environment, stdout=log, stderr=log).returncode


def _remove_old(builds: Path) -> None:
    newest_first = sorted(builds.glob(f"*/{DIGEST}"), key=lambda digest: -digest.stat().st_mtime_ns)
    for digest in newest_first[_KEPT_BUILDS:]:
        shutil.rmtree(digest.parent)


def _give_to_owner(unit: Unit) -> None:
    """Made by root in a checkout that is not root's, it is its owner's."""
    owner, builds = os.stat(unit.package), Path(unit.builds)
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (builds, *builds.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
