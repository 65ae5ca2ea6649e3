"""The launcher has the core compiled: at the first start, if it is wanted and can be."""

import shutil
from pathlib import Path

import pytest

from .conftest import Checkout, MakePrograms


def called(checkout: Checkout, *arguments: str, programs: Path | None = None) -> tuple[list[str], list[str]]:
    """What the command line was called with, start by start, and what the launcher said."""
    result = checkout.start(*arguments, programs=programs, pure=False)
    assert result.returncode == 0, result.stderr
    return [line.rpartition(" ")[0] for line in result.stdout.splitlines()], result.stderr.splitlines()


@pytest.fixture
def checkout(started_checkout: Checkout, tmp_path: Path) -> Checkout:
    """One without blanks in its path, in which nothing has been compiled or declined."""
    path = started_checkout.path.rename(tmp_path / "checkout")
    shutil.rmtree(path / "mptcp_stack/_compiled")
    return Checkout(path)


def test_it_is_compiled_at_the_first_start(checkout: Checkout) -> None:
    assert called(checkout, "list") == (["['build']", "['list']"], [])
    work = checkout.path / "mptcp_stack/_compiled/making"
    work.mkdir(parents=True)
    (work / "log").write_text("killed\n")
    assert called(checkout, "list") == (["['build']", "['list']"], [])
    (work / "outcome").write_text("it did not work\n")
    assert called(checkout, "list") == (["['list']"], [])


@pytest.mark.parametrize("typed", ["build", "--pure build"])
def test_on_demand_it_is_compiled_once(typed: str, checkout: Checkout, make_programs: MakePrograms) -> None:
    assert called(checkout, *typed.split()) == ([str(typed.split())], [])
    missing = called(checkout, *typed.split(), programs=make_programs(without=frozenset({"apt-get", "cc"})))[1]
    assert missing[-1] == "lab: going on without them"


@pytest.mark.parametrize("typed", ["list --pure", "--pure list", "list"])
def test_what_is_declined_stays_so(typed: str, checkout: Checkout) -> None:
    first = checkout.start(*typed.split(), pure=typed == "list")
    assert first.stderr == "lab: our stack stays pure Python, as asked for, until './lab build'\n"
    assert first.stdout.startswith(str(typed.split()))
    assert called(checkout, "list") == (["['list']"], [])
    assert called(checkout, "build") == (["['build']"], [])


def test_what_a_program_in_a_lab_is_told_declines_nothing(checkout: Checkout) -> None:
    words = ["exec", "two-paths", "--", "program", "--pure"]
    assert called(checkout, *words) == (["['build']", str(words)], [])


@pytest.mark.parametrize("typed", ["-h", "--help"])
def test_help_installs_and_compiles_nothing(typed: str, checkout: Checkout, make_programs: MakePrograms) -> None:
    programs = make_programs(without=frozenset({"cc"}), scripts={"apt-get": "exit 1", "sudo": "exit 1"})
    assert called(checkout, "build", typed, programs=programs) == ([f"['build', '{typed}']"], [])
    assert called(checkout, typed, programs=programs) == ([f"['{typed}']"], [])


def test_the_command_runs_when_it_cannot_be_compiled(checkout: Checkout) -> None:
    fails = "import sys; print(sys.argv[1:], ''); sys.exit('not compiled' if sys.argv[1] == 'build' else 0)"
    (checkout.path / "testbed/__main__.py").write_text(fails)
    assert called(checkout, "list") == (["['build']", "['list']"], ["not compiled"])


def test_missing_compilers_are_named(checkout: Checkout, make_programs: MakePrograms) -> None:
    said = called(checkout, "list", programs=make_programs(without=frozenset({"apt-get", "cc"})))[1]
    missing = "lab: no apt-get here (not Debian or a relative) and these programs are missing: cc"
    assert said == [missing, "lab: going on without them"]


@pytest.mark.root
def test_a_checkout_that_cannot_be_written_to_is_one_line(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", str(checkout.path))
    read_only = 'mount --bind "$PLACE" "$PLACE"; mount -o remount,ro,bind "$PLACE"; exec "$LAUNCHER" list'
    result = checkout.start(under=("unshare", "--mount", "sh", "-ec", read_only), pure=False)
    assert result.stdout.startswith("['list']")
    assert result.stderr == f"lab: our stack is pure Python: {checkout.path}/mptcp_stack cannot be written to\n"
