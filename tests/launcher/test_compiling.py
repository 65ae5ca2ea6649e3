"""The launcher has the core compiled: at the first start, if it is wanted and can be."""

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
    """One without blanks in its path."""
    return Checkout(started_checkout.path.rename(tmp_path / "checkout"))


def test_it_is_compiled_at_the_first_start(checkout: Checkout) -> None:
    assert called(checkout, "list") == (["['build']", "['list']"], [])
    log = checkout.path / "mptcp_stack/_compiled/work/log"
    log.parent.mkdir(parents=True)
    log.write_text("it did not work\n")
    assert called(checkout, "list") == (["['list']"], [])


def test_on_demand_it_is_compiled_once(checkout: Checkout) -> None:
    assert called(checkout, "build") == (["['build']"], [])


def test_it_can_be_declined(checkout: Checkout) -> None:
    assert called(checkout, "list", "--pure") == (["['list', '--pure']"], [])
    assert checkout.start("list").stdout.startswith("['list']")  # by MPTCP_LAB_PURE=1


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
