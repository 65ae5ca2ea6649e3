"""Checkouts to start the launcher in, and search paths on which things are missing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON_NAME = re.compile(r"python3(\.\d+)?")


@dataclass(frozen=True)
class Checkout:
    path: Path

    def start(
        self,
        *arguments: str,
        programs: Path | None = None,
        under: tuple[str, ...] = (),
        cwd: Path | None = None,
        pure: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher as a user does; `programs` takes the place of PATH, `under` is put in front.

        Nothing is compiled, unless `pure` is false.
        """
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"LAUNCHER": str(self.path / "lab"), "MPTCP_LAB_PURE": str(int(pure))}
        if programs:
            environment["PATH"] = str(programs)
        command = [*under, environment["LAUNCHER"], *arguments]
        return subprocess.run(
            command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )


@pytest.fixture(scope="session")
def clean_checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """What a clone of this tree would hold: its tracked files and nothing else."""
    path = tmp_path_factory.mktemp("checkout")
    # The owner of the checkout need not be the one (root) who runs the tests.
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    return Checkout(path)


@pytest.fixture(scope="session")
def locked_setuptools() -> str:
    """The part of the lock file that pins one small package."""
    stanza = re.search(r"^setuptools==(.*\\\n)+.*\n", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert stanza
    return stanza[0]


def make_small_checkout(path: Path, lock: str) -> Checkout:
    """The launcher over `lock` and a command line that tells how it was called."""
    (path / "testbed").mkdir(parents=True)
    shutil.copy2(ROOT / "lab", path)
    shutil.copytree(ROOT / "provision", path / "provision")
    (path / "requirements.lock").write_text(lock)
    (path / "testbed" / "__init__.py").touch()
    (path / "testbed" / "__main__.py").write_text("import os, sys; print(sys.argv[1:], os.getcwd())\n")
    (path / "mptcp_stack").mkdir()
    return Checkout(path)


@pytest.fixture
def small_checkout(tmp_path: Path, locked_setuptools: str) -> Checkout:
    """A checkout with one locked package, before its first start."""
    return make_small_checkout(tmp_path / "small checkout", locked_setuptools)


@pytest.fixture(scope="session")
def first_starts(
    tmp_path_factory: pytest.TempPathFactory, locked_setuptools: str
) -> tuple[Checkout, list[subprocess.CompletedProcess[str]]]:
    """A checkout with one locked package, and what its first two starts, both at once, gave."""
    checkout = make_small_checkout(tmp_path_factory.mktemp("started") / "checkout", locked_setuptools)
    with ThreadPoolExecutor() as pool:
        starts = [pool.submit(checkout.start) for _ in range(2)]
    return checkout, [start.result() for start in starts]


@pytest.fixture
def started_checkout(tmp_path: Path, first_starts: tuple[Checkout, list[subprocess.CompletedProcess[str]]]) -> Checkout:
    """The same, to be changed by one test."""
    path = tmp_path / "started checkout"
    shutil.copytree(first_starts[0].path, path, symlinks=True)
    return Checkout(path)


MakePrograms = Callable[..., Path]


@pytest.fixture
def make_programs(tmp_path: Path) -> MakePrograms:
    """A directory with this machine's programs, some left out and some replaced by shell scripts."""

    def make(without: frozenset[str] = frozenset(), scripts: Mapping[str, str] | None = None) -> Path:
        scripts = scripts or {}
        directory = tmp_path / "programs"
        directory.mkdir()
        found: dict[str, str] = {"python3": os.path.realpath(sys.executable)}
        for folder in os.environ["PATH"].split(":"):
            if os.path.isdir(folder) and not folder.endswith("/sbin"):
                for program in os.scandir(folder):
                    if not PYTHON_NAME.fullmatch(program.name):
                        found.setdefault(program.name, program.path)
        for name in found.keys() - without - scripts.keys():
            (directory / name).symlink_to(found[name])
        for name, script in scripts.items():
            (directory / name).write_text(f"#!/bin/sh\n{script}\n")
            (directory / name).chmod(0o755)
        return directory

    return make
