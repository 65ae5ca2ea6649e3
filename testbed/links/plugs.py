"""Links taken down and brought up again by hand, with everything that hosts have of them given back.

A link with a wire loses its wire: the hosts' interfaces stay up without a carrier and keep all they have, as when a
cable is unplugged. A direct link has no wire: one of its interfaces goes down. The kernel takes the routes over it
then, so they are kept here until no link of the host is down: each comes back as soon as the kernel takes it again.
IPv6 addresses stay by `keep_addr_on_down`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from testbed.host.commands import run
from testbed.host.hosts import Host
from testbed.links import wire_ends
from testbed.spec import Link

_KEEP = "net.ipv6.conf.{}.keep_addr_on_down"
_NOT_OF_A_ROUTE = re.compile(r" (?:dead|linkdown)\b|\\")
"""In what `ip` shows of one: the state of its links, and where its line was broken."""


class Plugs:
    """Which links of a running lab are down."""

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts
        self._routes: dict[str, dict[tuple[int, str], None]] = {}
        """By host with a direct link that is down: routes that it had since the first went, with their IP version."""
        self._direct: dict[str, set[str]] = {}
        """By host: those links."""
        self.down: set[str] = set()
        """Names of links."""

    def pull(self, link: Link) -> None:
        """Take a link down; nothing happens when it is. LabError when the system refuses."""
        if link.name in self.down:
            return
        if link.kind == "direct":
            end = link.ends[0]
            host = self._hosts[end.host]
            if host.find_sysctl(_KEEP.format(end.interface)) is not None:
                host.set_sysctl(_KEEP.format(end.interface), "1")
            self._routes.setdefault(host.name, {}).update(dict.fromkeys(_routes_of(host)))
            self._direct.setdefault(host.name, set()).add(link.name)
            host.run(["ip", "link", "set", end.interface, "down"])
        else:
            _set_wire(link, "down")
        self.down.add(link.name)

    def plug(self, link: Link) -> None:
        """Bring a link up again; nothing happens when it is. LabError when the system refuses."""
        if link.name not in self.down:
            return
        if link.kind == "direct":
            end = link.ends[0]
            host = self._hosts[end.host]
            host.run(["ip", "link", "set", end.interface, "up"])
            self._give_back(host)
            self._direct[host.name].remove(link.name)
            if not self._direct[host.name]:
                del self._routes[host.name]
        else:
            _set_wire(link, "up")
        self.down.remove(link.name)

    def _give_back(self, host: Host) -> None:
        """Add the host's routes again; the kernel refuses those that are there, and those over a link that is down."""
        for version in (4, 6):
            # One with several next hops may be there in part.
            lines = [
                f"route {'replace' if ' nexthop ' in route else 'append'} {route}\n"
                for of_version, route in self._routes[host.name]
                if of_version == version
            ]
            for _ in range(2):  # a gateway may be found by a route that follows
                host.run(["ip", f"-{version}", "-force", "-batch", "-"], input="".join(lines), check=False)


def _routes_of(host: Host) -> Iterator[tuple[int, str]]:
    for version in (4, 6):
        shown = host.run(["ip", f"-{version}", "-oneline", "route", "show", "table", "all", "type", "unicast"]).stdout
        for line in shown.splitlines():
            yield version, " ".join(_NOT_OF_A_ROUTE.sub(" ", line).split())


def _set_wire(link: Link, state: str) -> None:
    run(["ip", "-batch", "-"], input="".join(f"link set {end} {state}\n" for end in wire_ends(link)))
