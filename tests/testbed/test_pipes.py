"""What commands print where no terminal is: tables whole, JSON, what a shell completes, help that is not cut."""

import json
from pathlib import Path

import pytest
from rich.table import Table
from typer.main import get_command

from testbed.cli import app
from testbed.show.console import print_table
from tests.testbed.test_cli import KERNEL, Lab, lab  # noqa: F401

WIDE = "a text of more than eighty columns, " * 5


def test_tables_are_as_wide_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("first", "second", WIDE)
    table.add_row(WIDE, WIDE, "[end]")
    print_table(table)
    said = capsys.readouterr().out
    assert [line.count(WIDE.strip()) for line in said.splitlines() if WIDE[:20] in line] == [1, 2]
    assert "[end]" in said


def test_what_stands_below_a_narrow_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("a", title=WIDE, caption=WIDE)
    table.add_row("b")
    print_table(table)
    assert sum(WIDE.strip() in line for line in capsys.readouterr().out.splitlines()) == 2


def test_no_table_of_a_command_is_folded(lab: Lab) -> None:  # noqa: F811
    lines = lab("doctor").stdout.splitlines()
    (kernel,) = (line for line in lines if line.startswith(" kernel: MPTCP"))
    assert "kernel-mptcp, ./lab interop" in kernel
    assert not [line for line in lines if line.strip() and line.startswith("  ")]


def test_every_command_that_prints_results_has_json() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    without = {
        name
        for name, command in commands.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    # They print what programs print, or where they have written something.
    assert without == {"shell", "exec", "build", "test", "keep", "docs"}


def test_a_connection_as_json(lab: Lab, tmp_path: Path) -> None:  # noqa: F811
    document = json.loads(lab("timesequence", KERNEL, "--out", str(tmp_path), "--json").stdout)
    assert document["sender"] == "server"
    assert document["sent"]["data"]["bytes"] == document["connections"][0]["sent_bytes"]["server"] == 60_000
    assert len(document["connections"][0]["subflows"]) == 2
    assert all(Path(path).exists() for path in document["figures"])


def test_help_is_not_cut(lab: Lab) -> None:  # noqa: F811
    assert not [line for line in lab("--help").stdout.splitlines()[1:] if line.endswith("...")]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run qui", ["quickstart"]),
        ("run rec", ["receive-algorithms", "receive-buffer"]),  # the first is a package
        ("plan s", ["schedulers", "setup-latency", "simultaneous-flows", "syn-flood"]),
        ("shell two", ["two-paths", "two-paths-routed"]),
        ("run quickstart --stacks kernel-tcp,python-m", ["kernel-tcp,python-mptcp"]),
        ("run quickstart --collect nstat,pc", ["nstat,pcap"]),
        ("run quickstart --scale p", ["paper"]),
        ("timeseq", ["timesequence"]),
    ],
)
def test_a_shell_completes_names(
    lab: Lab,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    offered: list[str],
) -> None:
    words = f"./lab {typed}"
    asked = {"_LAB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    assert lab().stdout.split() == offered
