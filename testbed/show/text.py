"""A topology as text: its hosts with interfaces and addresses, its links in both directions, its paths."""

from __future__ import annotations

from itertools import chain

from rich.console import Group, RenderableType
from rich.table import Table
from rich.tree import Tree

from testbed.show import labels
from testbed.spec import End, Topology
from testbed.spec.routing import paths
from testbed.spec.templates import TemplateHeader


def describe(topology: Topology) -> RenderableType:
    """Everything that `topology` says, for a terminal."""
    title = f"{topology.name}: {topology.description}"
    parts: list[RenderableType] = [
        _hosts(topology),
        _links(topology),
        Group(*_extras(topology)),
        Group(*_paths(topology)),
    ]
    return Group(title, *chain.from_iterable(("", part) for part in parts))


def describe_template(name: str, header: TemplateHeader) -> RenderableType:
    """Summary of a template and its parameters with their defaults."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for parameter, about in header.parameters.items():
        choices = f" ({', '.join(map(str, about.choices))})" if about.choices else ""
        table.add_row(f"  {parameter} = {about.default}", about.help + choices)
    return Group(f"{name}: {header.summary}", table)


def _hosts(topology: Topology) -> Tree:
    tree = Tree("hosts")
    for host in topology.hosts:
        branch = tree.add(f"{host.name} (router)" if host.forward else host.name)
        for end in topology.interfaces(host.name):
            branch.add(f"{end.interface}: {_addresses(end)}")
    return tree


def _addresses(end: End) -> str:
    words = []
    for place in end.places:
        words.append(str(place.address))
        if place.stack_address:
            words.append(f"{place.stack_address} (Python stack)")
    gateways = [str(place.gateway) for place in end.places if place.gateway]
    return ", ".join(words) + (f", gateway {' and '.join(dict.fromkeys(gateways))}" if gateways else "")


def _links(topology: Topology) -> Table:
    table = Table("link", "from", "to", "what it does to packets", "realised by", box=None, padding=(0, 2, 0, 0))
    for link in topology.links:
        first, second = link.ends
        for source, target, asked in zip((first, second), (second, first), link.directions, strict=True):
            table.add_row(link.name, source.interface, target.interface, labels.impairments(asked), link.kind)
    return table


def _extras(topology: Topology) -> list[RenderableType]:
    """Middleboxes, and what changes over time."""
    lines: list[RenderableType] = []
    for link in topology.links:
        if link.middleboxes:
            boxes = ", ".join(str(box["kind"]) for box in link.middleboxes)
            lines.append(f"{link.name} has middleboxes at {link.ends[0].host}: {boxes}")
        if link.schedule:
            lines.append(f"{link.name} changes: {'; '.join(map(labels.change, link.schedule))}")
    return lines or ["no middleboxes, no changes over time"]


def _paths(topology: Topology) -> list[RenderableType]:
    names = {host.name for host in topology.hosts}
    if not {"client", "server"} <= names:
        return ["paths: none, as experiments need hosts called client and server"]
    found = [pair for version in (4, 6) for pair in paths(topology, version=version)]
    title = f"paths from client to server, a subflow can be had on each: {len(found)}"
    return [title, *(f"  {client} -> {server}" for client, server in found)]
