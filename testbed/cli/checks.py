"""Commands that check: our stack against the kernel's, and the project itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from testbed.cli.options import RESULTS, Json, Out, names, print_json
from testbed.cli.ownership import watch, watch_checkout

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


@commands.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run the project's own checks: lint, types, contracts, tests. More arguments go to pytest."""
    from testbed.checks import run_checks

    watch_checkout()
    raise typer.Exit(run_checks(context.args))
