"""A topology of one's own in an experiment: what of the experiment's it is told, and what it must have.

Of the parameters that an experiment gives its own topology, another one is told those that it declares: a network that
has a delay of its own needs no parameter for it. It must declare what the experiment varies from point to point, and
what the user set by name: neither may be left out without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from testbed.errors import LabError
from testbed.spec import Topology
from testbed.spec.routing import paths
from testbed.spec.templates import TemplateHeader

ENDS = ("client", "server")
"""The hosts that every load runs between."""


def check_parameters(
    template: str, header: TemplateHeader, varied: Collection[str], given: Collection[str], asked: Collection[str]
) -> None:
    """Raise LabError, one line with all of them, for what `template` lacks.

    `varied`: parameters that differ between points; `given`: those that are the same for all; `asked`: those that the
    user set by name.
    """
    has = ", ".join(header.parameters) or "none"
    reasons = []
    lacking = [name for name in varied if name not in header.parameters]
    if lacking:
        reasons.append(f"the experiment varies {', '.join(lacking)}")
    unused = [name for name in given if name in asked and name not in header.parameters]
    if unused:
        reasons.append(f"--set gives {', '.join(unused)}")
    if reasons:
        raise LabError(f"{template}: {' and '.join(reasons)}, but it has no such parameters; its own: {has}")


def declared(header: TemplateHeader, parameters: Mapping[str, object]) -> dict[str, object]:
    """Return those of `parameters` that the template has."""
    return {name: value for name, value in parameters.items() if name in header.parameters}


def check_ends(topology: Topology, label: str, called: tuple[str, str] = ENDS) -> None:
    """Raise LabError when there is no client, no server, or no way between them; `called`: by the user."""
    names = [host.name for host in topology.hosts]
    missing = [name for name in ENDS if name not in names]
    if missing:
        lacking = " and no host ".join(missing)
        raise LabError(f"{label}: no host {lacking}, between which experiments measure; it has: {', '.join(names)}")
    if not any(paths(topology, version=version) for version in (4, 6)):
        raise LabError(f"{label}: no way between {' and '.join(called)}: no common subnet, no gateways that are joined")
