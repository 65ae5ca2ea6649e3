"""What is made under sudo belongs to whom it was made for, and they go on without it."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.cli.ownership import hand_over, watch
from tests.testbed.lab_run import ROOT

NOBODY = 65534
SMALL = ["sizes_bytes=1000,30000", "ab_sizes_bytes=", "requests=10", "seconds=0.3", "repetitions=1", "concurrency=2"]

pytestmark = pytest.mark.root


@pytest.fixture
def for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(NOBODY))


def owners(top: Path) -> dict[str, int]:
    found = [top, *top.rglob("*")]
    return {str(path.relative_to(top)): path.lstat().st_uid for path in found}


@pytest.mark.usefixtures("for_nobody")
def test_what_came_since_is_handed_over_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "results"
    (out / "old").mkdir(parents=True)
    os.chown(out, NOBODY, NOBODY)
    for name in ("old/kept", "old/rewritten"):
        (out / name).write_text("before")
    watch(out)
    (out / "old/rewritten").write_text("now, and longer")
    (out / "old/new").write_text("")
    (out / "run/points").mkdir(parents=True)
    (out / "run/points/raw").write_text("")
    hand_over()
    expected = {".": NOBODY, "old": 0, "old/kept": 0}
    assert owners(out) == expected | dict.fromkeys(
        ("old/rewritten", "old/new", "run", "run/points", "run/points/raw"), NOBODY
    )


@pytest.mark.usefixtures("for_nobody")
def test_directories_above_are_handed_over_where_they_are_new(tmp_path: Path) -> None:
    watch(tmp_path / "a/b/results")
    (tmp_path / "a/b/results").mkdir(parents=True)
    hand_over()
    assert owners(tmp_path) == {".": 0} | dict.fromkeys(("a", "a/b", "a/b/results"), NOBODY)


@pytest.mark.usefixtures("for_nobody")
def test_no_link_leads_the_gift_elsewhere(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "home/results", tmp_path / "elsewhere/results"
    out.mkdir(parents=True)
    os.chown(out, NOBODY, NOBODY)
    (elsewhere / "below").mkdir(parents=True)
    (elsewhere / "secret").write_text("")
    watch(out)
    (out / "link").symlink_to(elsewhere)
    (out / "name").symlink_to(elsewhere / "secret")
    os.link(elsewhere / "secret", out / "second-name")
    os.mkfifo(out / "pipe")
    (out.parent).rename(tmp_path / "moved")  # and the path leads elsewhere
    (tmp_path / "home").symlink_to(elsewhere.parent)
    (tmp_path / "moved/results/new").write_text("")
    hand_over()
    assert set(owners(elsewhere).values()) == {0}
    assert owners(tmp_path / "moved/results") == {
        ".": NOBODY, "link": 0, "name": 0, "second-name": 0, "pipe": 0, "new": NOBODY,
    }  # fmt: skip


@pytest.mark.usefixtures("for_nobody")
def test_in_a_directory_of_all_users_only_results_are_handed_over(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    (shared / "lock").mkdir(parents=True)
    shared.chmod(0o1777)
    (shared / "daemon.log").write_text("of another program of root's")
    watch(shared)
    (shared / "daemon.log").write_text("written on meanwhile")
    (shared / "lock/new").write_text("")
    (shared / "mine/0123").mkdir(parents=True)
    (shared / "mine/0123/manifest.json").write_text("{}")
    (shared / "figures").mkdir()
    hand_over()
    mine = ("figures", "mine", "mine/0123", "mine/0123/manifest.json")
    assert owners(shared) == dict.fromkeys((".", "daemon.log", "lock", "lock/new"), 0) | dict.fromkeys(mine, NOBODY)


def test_without_sudo_everything_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    watch(tmp_path / "results")
    (tmp_path / "results").mkdir()
    hand_over()
    assert owners(tmp_path / "results") == {".": 0}


# --- The commands that a user gives after `sudo ./lab run ...` ---

COMMANDS = """
import os, sys
from testbed.cli import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["lab", *line.split()]
    try:
        main()
    except SystemExit as end:
        print("COMMAND", end.code, line, flush=True)
"""


AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def python_of_nobody() -> tuple[str, str]:
    """A Python of this version that an ordinary user can start, and what it needs in PYTHONPATH besides the project."""
    version = "import sys; print(*sys.version_info[:2], sys.executable, sys.prefix)"
    packages = sysconfig.get_path("purelib")
    for python, prefix, path in (
        (sys.executable, sys.prefix, ""),
        (f"/usr/bin/python3.{sys.version_info.minor}", "/usr", packages),
    ):
        asked = subprocess.run([*AS_NOBODY, python, "-c", version], capture_output=True, text=True, check=False)
        if asked.stdout.split() == [*map(str, sys.version_info[:2]), python, prefix]:
            return python, path
    pytest.skip("no Python here that an ordinary user can start")


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of an ordinary user's."""
    with tempfile.TemporaryDirectory() as name:  # not in pytest's, where root alone may look
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


@pytest.mark.kernel
def test_the_users_own_commands_work_after_a_run_under_sudo(home: Path) -> None:
    python, packages = python_of_nobody()
    run = ["run", "quickstart", "--stacks", "kernel-mptcp", "--collect", "pcap", "--out", f"{home}/out/results"]
    run += [word for setting in SMALL for word in ("--set", setting)]
    sudo = os.environ | {"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}
    made = subprocess.run(
        [sys.executable, "-m", "testbed", *run], cwd=ROOT, env=sudo, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    others = {name: uid for name, uid in owners(home).items() if uid != NOBODY}
    assert not others
    results = f"{home}/out/results"
    (point,) = Path(results, "quickstart").glob("*/points/*30000*")
    commands = [
        " ".join(run),
        f"figures --out {results}",
        f"timesequence {point} --out {results}",
    ]
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [*AS_NOBODY, python, "-P", "-c", COMMANDS],
        input="\n".join(commands),
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = [line for line in done.stdout.splitlines() if line.startswith("COMMAND")]
    assert [line.split()[1] for line in outcomes] == ["0"] * len(commands), done.stdout + done.stderr
