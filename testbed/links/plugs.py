"""Links taken down and brought up again by hand, with everything that hosts have of them given back.

A link with a wire loses its wire: the hosts' interfaces stay up without a carrier and keep all they have, as when a
cable is unplugged. A direct link has no wire: one of its interfaces goes down. The kernel takes the routes over it
then, so they are kept here; IPv6 addresses stay by `keep_addr_on_down`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from testbed.commands import run
from testbed.hosts import Host
from testbed.links import wire_ends
from testbed.spec import Link

_KEEP = "net.ipv6.conf.{}.keep_addr_on_down"


class Plugs:
    """Which links of a running lab are down. `scratch` is a directory for routes that the kernel would forget."""

    def __init__(self, hosts: Mapping[str, Host], scratch: Path) -> None:
        self._hosts = hosts
        self._scratch = scratch
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
            for version in (4, 6):
                host.run(["sh", "-c", f"ip -{version} route save table all type unicast >{self._saved(link, version)}"])
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
            for version in (4, 6):  # those that are there are left as they are
                host.run(["sh", "-c", f"ip -{version} route restore <{self._saved(link, version)}"])
        else:
            _set_wire(link, "up")
        self.down.remove(link.name)

    def _saved(self, link: Link, version: int) -> Path:
        return self._scratch / f"{link.name}.routes{version}"


def _set_wire(link: Link, state: str) -> None:
    run(["ip", "-batch", "-"], input="".join(f"link set {end} {state}\n" for end in wire_ends(link)))
