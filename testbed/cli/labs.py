"""Commands about labs: topologies, links, this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from testbed.cli import completion
from testbed.cli.options import Json, Settings, TopologyName, note, print_json
from testbed.cli.ownership import watch
from testbed.errors import LabError

if TYPE_CHECKING:
    from testbed.doctor import Finding
    from testbed.spec import Topology

commands = typer.Typer()

Plain = Annotated[
    bool, typer.Option("--plain", help="Leave the kernels' MPTCP and congestion control as this machine has them.")
]


@commands.command()
def show(
    topology: Annotated[
        str | None,
        typer.Argument(
            metavar="[TOPOLOGY]",
            help="Name or file of a template; list all when left out.",
            autocompletion=completion.topologies,
        ),
    ] = None,
    settings: Settings = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to draw it: a file that ends in .svg, .png or .pdf.", callback=watch),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a topology, or list them all with their parameters.

    A named one is printed with hosts, links and paths, and drawn with --out.
    """
    from testbed.show import text
    from testbed.show.console import table_console
    from testbed.spec.templates import template_header, topology_names

    if topology is None:
        headers = {name: template_header(name) for name in topology_names()}
        if as_json:
            print_json([{"name": name, **header.model_dump(mode="json")} for name, header in headers.items()])
            return
        for name, header in headers.items():
            table_console().print(text.describe_template(name, header))
        return
    rendered = topology_named(topology, settings)
    if as_json:
        print_json(rendered.model_dump(mode="json"))
    else:
        table_console().print(text.describe(rendered))
    if out is not None:
        from testbed.show.drawing import draw

        draw(rendered, template_header(topology).layout, out)
        note(f"drawn: {out}")


@commands.command()
def calibrate(
    topology: TopologyName,
    settings: Settings = None,
    quick: Annotated[bool, typer.Option("--quick", help="As before a run: a second or two, less exact.")] = False,
    as_json: Json = False,
) -> None:
    """Build a topology and measure its links, both ways.

    What is measured is compared with what was asked for.
    """
    rendered = topology_named(topology, settings)
    from testbed.calibrate import Effort, require
    from testbed.calibrate import as_json as documents
    from testbed.host.namespace import enter
    from testbed.lab import Lab
    from testbed.show.calibration import print_table

    enter()
    with Lab(rendered) as lab:
        calibrations = lab.measure_links(Effort.QUICK if quick else Effort.THOROUGH)
        moved = lab.moved_links
    if as_json:
        print_json(documents(calibrations))
    else:
        for link, why in moved.items():
            note(f"link {link} is emulated: {why}")
        print_table(calibrations)
    require(calibrations)


@commands.command()
def shell(topology: TopologyName, settings: Settings = None, plain: Plain = False) -> None:
    """Build a topology and open Mininet's prompt on it.

    The kernels' MPTCP is ready on every path.
    """
    rendered = topology_named(topology, settings)
    from testbed.cli.shell import open_shell
    from testbed.host.namespace import enter

    enter()
    open_shell(rendered, plain)


class _AfterSeparator(TyperCommand):
    """Takes a command for hosts whole: what stood before the first -- would join it, and that -- be lost in it."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """As usual; LabError when the words after -- are not all that the hosts are given."""
        after = args[args.index("--") + 1 :] if "--" in args else None
        rest = super().parse_args(ctx, args)
        command = list(ctx.params.get("command") or ())
        if after is not None and command != after and not ctx.resilient_parsing:
            raise LabError(f"exec: {' '.join(command[: -len(after) or None])}: must come after the first --")
        return rest


@commands.command(name="exec", cls=_AfterSeparator, context_settings={"ignore_unknown_options": True})
def execute(
    topology: TopologyName,
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="-- HOST COMMAND...",
            help="A host and its program; more follow another --. A last word '&' leaves one running beside them.",
        ),
    ],
    settings: Settings = None,
    plain: Plain = False,
) -> None:
    """Build a topology and run programs in its hosts.

    They run in turn; the exit code is that of the first to fail.
    """
    rendered = topology_named(topology, settings)
    from testbed.cli.shell import execute, orders
    from testbed.host.namespace import enter

    wanted = orders(command, rendered)
    enter()
    raise typer.Exit(execute(rendered, wanted, plain))


@commands.command()
def check(topology: TopologyName, settings: Settings = None, plain: Plain = False, as_json: Json = False) -> None:
    """Build a topology and check that it has what MPTCP needs.

    Addresses, limits, endpoints, routes by source, and each address pair, with remedies.
    """
    rendered = topology_named(topology, settings)
    from testbed.cli.needs import check as checked
    from testbed.cli.needs import require_ends
    from testbed.cli.shell import ready
    from testbed.host.namespace import enter

    require_ends(rendered)
    enter()
    with ready(rendered, plain) as (lab, mptcp):
        found = list(checked(lab, rendered))
    if as_json:
        print_json([{"where": one.where, **one.line._asdict()} for one in found])
    else:
        note(f"MPTCP of the kernels: {mptcp}")
        for one in found:
            print(f"{one.where}: {one.line}")
    wrong = sum(not one.line.well for one in found)
    if wrong:
        what = "one thing stands" if wrong == 1 else f"{wrong} things stand"
        raise LabError(f"{what} in the way of a second subflow", exit_code=1)


@commands.command()
def doctor(as_json: Json = False) -> None:
    """Show what this machine has of what the lab can use.

    And what a missing thing costs, and the remedy.
    """
    from testbed.doctor import examine

    findings = examine()
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        _print_findings(findings)
    missing = [finding.name for finding in findings if finding.needed and finding.state == "missing"]
    if missing:
        raise LabError(f"needed and missing: {', '.join(missing)}", exit_code=3)


def _print_findings(findings: Sequence[Finding]) -> None:
    """Print a table; of what is there only what it is for."""
    from rich import box
    from rich.table import Table

    from testbed.show.console import table_console

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("what", "state", "for", "without it", "remedy"):
        table.add_column(heading, no_wrap=heading in ("what", "state"), overflow="fold")
    for one in findings:
        lost = ("", "") if one.state == "have" else (one.without, one.remedy)
        table.add_row(one.name, one.state, f"{one.use} ({one.detail})" if one.detail else one.use, *lost)
    table_console().print(table)


def topology_named(name: str, settings: Sequence[str] | None) -> Topology:
    """Return a topology rendered with these settings. Raises LabError for whatever is wrong with them."""
    from testbed.experiment import parse_settings
    from testbed.spec.templates import load_topology

    return load_topology(name, parse_settings(settings or ()))
