"""Files that no program of ours reads in a run: the lock file and the Vagrantfile."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from .conftest import ROOT, Checkout

LOCKS = ("requirements.lock", "requirements-data.lock")


def locked(name: str) -> dict[str, str]:
    """Versions by package."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_everything_by_hash_and_holds_no_addresses(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()[1:]  # the first says where the file comes from
    pin = re.compile(r"[a-z0-9-]+==[\w.]+( ; [\w\s.=<>\"']+)? \\")
    file_hash = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not (pin.fullmatch(line) or file_hash.fullmatch(line))] == []


def test_lock_holds_every_package_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for names, lock in ((project["dependencies"] + extras["dev"], LOCKS[0]), (extras["data"], LOCKS[1])):
        assert {re.split("[=<>]", name)[0].lower() for name in names} <= locked(lock).keys()


def test_what_is_in_both_locks_is_of_one_version() -> None:
    main, data = map(locked, LOCKS)
    assert {name: version for name, version in data.items() if name in main and version != main[name]} == {}


def test_a_checkout_with_line_ends_of_windows_is_the_same(clean_checkout: Checkout, tmp_path: Path) -> None:
    def git(*words: str, cwd: Path) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True)

    origin, clone = tmp_path / "origin", tmp_path / "clone"
    shutil.copytree(clean_checkout.path, origin, ignore=shutil.ignore_patterns(".venv"))
    git("init", "-q", ".", cwd=origin)
    git("-c", "core.autocrlf=false", "add", "--all", "--force", cwd=origin)
    git("commit", "-q", "-m", "all", cwd=origin)
    git("clone", "-q", "-c", "core.autocrlf=true", str(origin), str(clone), cwd=tmp_path)
    files = [path.relative_to(origin) for path in origin.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(files) > 100
    assert [str(file) for file in files if (clone / file).read_bytes() != (origin / file).read_bytes()] == []


@pytest.mark.skipif(shutil.which("vagrant") is None, reason="needs vagrant")
def test_vagrantfile_is_valid(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "Vagrantfile", tmp_path)
    environment = {
        **os.environ,
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    command = ["vagrant", "validate", "--ignore-provider"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
