"""The command line.

Rules:

- A command is a function in one of six groups: `experiments`, `bench`, `profile`, `analyses` of results, `labs`,
  `checks` of the project.
- It imports what it needs when it runs: help must not wait for pandas.
- It enters the namespace, if it needs one, before anything that starts threads.
- It ends early by an exception alone, which `mistakes` turns into one line and an exit code.
- Where it writes is noted before (`ownership.watch`): what root makes under sudo is handed over, however it ends.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from testbed.cli import analyses, bench, checks, experiments, labs, profile
from testbed.cli.mistakes import tell
from testbed.cli.options import note
from testbed.cli.ownership import hand_over

HELP = """A Multipath TCP laboratory: real packets, the kernel's stacks beside a Python one, one figure.

Exit codes: 0 done and every check passed; 1 a point or a check failed, or the lab itself did; 2 wrong input, or a lab
that is not as asked; 3 this machine lacks what was asked for; 130 interrupted (the same command goes on where it
stopped).
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (experiments, bench, profile, analyses, labs, checks):  # in the order of the help
    app.add_typer(group.commands)


def main() -> None:
    """Run the command line; whatever ends it early becomes one line and an exit code.

    However it ends, what it made under sudo is handed over to whom it was made for.
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names out of data may be in no character set
    try:
        app(_with_pure_first(sys.argv[1:]), prog_name="lab")
    except Exception as error:
        sys.exit(tell(error))
    finally:
        hand_over()


def _open_standard_streams() -> None:
    """Let those that the caller has closed be empty: the next file to be opened would be taken for one of them."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _with_pure_first(words: Sequence[str]) -> list[str]:
    """Return a command's words with `--pure` in front: it may stand anywhere, but not in what `exec` starts."""
    end = words.index("--") if "--" in words else len(words)
    pure = ["--pure"] if "--pure" in words[:end] else []
    return [*pure, *(word for word in words[:end] if word != "--pure"), *words[end:]]


def _pure(wanted: bool) -> None:
    if wanted:
        os.environ["MPTCP_LAB_PURE"] = "1"  # for all that this command starts, too


def _version(wanted: bool) -> None:
    if wanted:
        from mptcp_stack.build import running
        from testbed.runs.provenance import version

        print(f"mptcp-lab {version()}, stack: {running()}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    pure: Annotated[
        bool,
        typer.Option("--pure", callback=_pure, is_eager=True, help="Run our stack as pure Python; with any command."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    from mptcp_stack.build import notice

    if (line := notice()) and context.invoked_subcommand != "build":
        note(line)
