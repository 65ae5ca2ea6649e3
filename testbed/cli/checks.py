"""Commands for our stack and the project: compile the one, check both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from testbed.cli.options import INTERRUPTED, RESULTS, Json, Out, names, note, print_json
from testbed.cli.ownership import watch, watch_checkout
from testbed.errors import LabError

commands = typer.Typer()


@commands.command()
def interop(
    features: Annotated[str, typer.Option(metavar="A,B", help="Features, joined by commas; all when left out.")] = "",
    family: Annotated[str, typer.Option(metavar="A,B", help="Of v4, v6, v4+v6, v6+v4.")] = "",
    role: Annotated[str, typer.Option(help="Where our stack is: client, server; both when left out.")] = "",
    at_once: Annotated[int, typer.Option(min=0, help="Cells at a time; 0: one for each core.")] = 0,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table to a file, too.", callback=watch)
    ] = None,
    out: Out = RESULTS,
    as_json: Json = False,
) -> None:
    """Run our stack against this kernel's, feature by feature.

    In both roles: a table and its evidence.
    """
    from testbed.host.namespace import enter
    from testbed.interop import run as interop_run
    from testbed.interop import table
    from testbed.show.progress import display

    cells = interop_run.select(*(names(joined) for joined in (features, family, role)))
    directory = interop_run.new_directory(out)
    enter()
    document = interop_run.run(cells, directory, display(), at_once or len(os.sched_getaffinity(0)))
    if markdown is not None:
        markdown.write_text(table.markdown(document))
    if as_json:
        print_json(document)
    else:
        from testbed.show.console import print_table

        print_table(table.console_table(document))
        for line in table.reasons(document):
            print(line)
        print(f"evidence: {directory}")
    raise typer.Exit(interop_run.exit_code(document))


@commands.command()
def build() -> None:
    """Compile the core of our stack.

    The first start has done it where it could; after a change of the sources it is to be done anew.
    """
    from mptcp_stack.build import make
    from mptcp_stack.build.unit import STACK

    try:
        if not make.build(STACK, note):
            note("the core is compiled: nothing has changed")
    except make.BuildError as error:
        code = INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else 1
        raise LabError(f"the core is not compiled, our stack runs as pure Python: {error}", exit_code=code) from error


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run the project's own checks: lint, types, contracts, tests. More arguments go to pytest."""
    from testbed.checks import run_checks

    watch_checkout()
    raise typer.Exit(run_checks(context.args))
