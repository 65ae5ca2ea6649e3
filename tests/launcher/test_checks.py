"""`./lab test` itself: every check runs, one that fails is shown and fails the whole."""

from pathlib import Path

import pytest

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
    monkeypatch.setattr(checks, "TESTS", {"one": ("--no-such-option",), "two": ("--version",), "three": ("--wrong",)})
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
    monkeypatch.setattr(checks, "TESTS", {"labs": (str(tmp_path), "-o", f"cache_dir={tmp_path}")})
    monkeypatch.setattr(checks, "ONCE_MORE", {"labs": checks.ONCE_MORE["tests of labs"]} if again else {})
    assert checks.run_checks() == code
