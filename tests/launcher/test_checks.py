"""`./lab test` itself: every check runs, one that fails is shown and fails the whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from mptcp_stack.build import running
from testbed import checks

GOOD = ("-c", "pass")
BAD = ("-c", "raise SystemExit('what is wrong')")


@pytest.mark.parametrize(
    ("commands", "pytest_arguments", "failed"),
    [
        ({"lint": GOOD, "types": GOOD}, ["--version"], ""),
        ({"lint": BAD, "types": GOOD}, ["--version"], "lab test: failed: lint"),
        ({"lint": GOOD, "types": BAD}, ["--no-such-option"], "lab test: failed: types, tests"),
    ],
)
def test_outcome(
    commands: dict[str, tuple[str, ...]],
    pytest_arguments: list[str],
    failed: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(checks, "CHECKS", commands)
    code = checks.run_checks(pytest_arguments)
    out, err = capfd.readouterr()
    assert code == (1 if failed else 0)
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("lint", "types"))] == [
        [name, "FAILED" if command is BAD else "passed"] for name, command in commands.items()
    ]
    assert ("what is wrong" in out) == (BAD in commands.values())
    assert (err.splitlines() or [""])[-1] == failed or not failed


def test_both_parts_of_the_suite_run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(checks, "CHECKS", {})
    phases = {"one": ("--no-such-option",), "two": ("--version",), "three": ("--wrong",)}
    monkeypatch.setattr(checks, "_tests", lambda: phases)
    assert checks.run_checks() == 1
    out, err = capfd.readouterr()
    assert out.splitlines()[0] == "one"
    assert err.splitlines()[-1] == "lab test: failed: one, three"


SOMETIMES = """
from pathlib import Path
def test_sometimes():
    plays = Path(__file__).with_name("plays")
    plays.write_text(plays.read_text() + "+" if plays.exists() else "+")
    assert len(plays.read_text()) > FAILURES
def test_always():
    pass
"""


@pytest.mark.parametrize(("failures", "again", "code"), [(2, True, 0), (3, True, 1), (1, False, 1)])
def test_what_failed_in_a_lab_is_played_once_more(
    failures: int, again: bool, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(SOMETIMES.replace("FAILURES", str(failures)))
    monkeypatch.setattr(checks, "CHECKS", {})
    monkeypatch.setattr(checks, "_tests", lambda: {"labs": (str(tmp_path), "-o", f"cache_dir={tmp_path}")})
    monkeypatch.setattr(checks, "ONCE_MORE", {"labs": checks.ONCE_MORE["tests of labs"]} if again else {})
    assert checks.run_checks() == code


@pytest.mark.parametrize("declined", [False, True])
def test_the_stack_is_tested_twice_where_it_can_be_compiled(declined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ENVIRONMENT", checks.ENVIRONMENT | {checks.PURE: "1" if declined else "0"})
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0))
    tests = checks._tests()
    assert {selection[-1] for name, selection in tests.items() if name != checks.PURE_TESTS} == {
        "pure" if declined else "compiled"
    }
    assert set(checks.STACK) <= set(tests[checks.PURE_TESTS]) or declined
    assert checks.FUZZ in tests[checks.PURE_TESTS]


@pytest.mark.parametrize(("declined", "asked"), [("1", "compiled"), ("0", "pure")])
def test_a_run_of_the_other_build_is_refused(declined: str, asked: str) -> None:
    command = [sys.executable, "-m", "pytest", "--build", asked, "--collect-only", "-q", "tests/unit/test_mapping.py"]
    environment = {**checks.ENVIRONMENT, checks.PURE: declined}
    done = subprocess.run(command, cwd=checks.ROOT, env=environment, capture_output=True, text=True)
    there = "pure" if declined == "1" else running()
    assert (done.returncode == 0) == (there == asked)
    assert there == asked or f"--build: the stack is {there}" in done.stderr
