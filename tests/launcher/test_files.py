"""Files that no program of ours reads in a run: the lock file and the Vagrantfile."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from .conftest import ROOT, Checkout


def test_lock_pins_everything_by_hash_and_holds_no_addresses() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()[1:]  # the first says where the file comes from
    pin = re.compile(r"[a-z0-9-]+==[\w.]+( ; [\w\s.=<>\"']+)? \\")
    file_hash = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not (pin.fullmatch(line) or file_hash.fullmatch(line))] == []


def test_lock_holds_every_package_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert {re.split("[=<>]", name)[0].lower() for name in wanted} <= set(locked)


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
