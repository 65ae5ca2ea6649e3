"""Round-robin bonding (balance-rr) of all paths between client and server.

`bonding`: the kernel's driver, where there is one. Its device takes the paths' interfaces over, so that their own
addresses are out of use while it exists.

`nft`: the same packet by packet distribution with nftables, for kernels without the driver. bond0 is one end of a
veth pair; what comes out of the other end, bond0p, is sent to the paths in turn; frames for bond0's own MAC address
that come in by a path are sent back into bond0p. The paths' own addresses keep working beside it. As ARP would be
broadcast, both ends know each other's MAC address beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import LabError, Unsupported
from testbed.host.commands import run
from testbed.host.hosts import Host
from testbed.links.offloads import set_offloads
from testbed.spec import Topology

DEVICE, _PORT = "bond0", "bond0p"
_PREFIX_LENGTH = 24


@dataclass(frozen=True)
class _End:
    """One end of the bond; the addresses are fixed, locally administered ones."""

    host: Host
    address: str
    mac: str


class Bond:
    """The bond of a running lab; it exists from construction until `remove`.

    LabError when client and server are not joined by direct links, Unsupported when the kernel can do neither
    kind. `kind` is "bonding" or "nft"; `addresses` are by host.
    """

    def __init__(self, topology: Topology, hosts: Mapping[str, Host]) -> None:
        for link in topology.links:
            if {end.host for end in link.ends} != {"client", "server"}:
                raise LabError(f"topology {topology.name}: link {link.name} is not between client and server: "
                               "only direct paths can be bonded")  # fmt: skip
        self._wire = topology.links[0].wire
        self._ends = (
            _End(hosts["client"], "10.0.100.1", "02:00:00:00:64:01"),
            _End(hosts["server"], "10.0.100.2", "02:00:00:00:64:02"),
        )
        self.addresses = {end.host.name: end.address for end in self._ends}
        self.kind = "bonding" if has_driver() else "nft"
        try:
            self._build()
        except LabError:
            self.remove()
            raise

    def remove(self) -> None:
        """Take the bond away and give the paths their addresses back."""
        for end in self._ends:
            end.host.run(["nft", "delete", "table", "netdev", DEVICE], check=False)
            end.host.run(["ip", "link", "delete", DEVICE], check=False)
            if self.kind == "bonding":
                end.host.configure_addresses()

    def describe(self) -> dict[str, Any]:
        """Kind, addresses and ports, for a run's manifest."""
        ports = {end.host.name: end.host.interfaces for end in self._ends}
        return {"kind": self.kind, "mode": "balance-rr", "addresses": self.addresses, "ports": ports}

    def _build(self) -> None:
        build = {"bonding": _build_driver, "nft": _build_nft}[self.kind]
        for end, peer in (self._ends, self._ends[::-1]):
            build(end)
            end.host.run(f"ip address add {end.address}/{_PREFIX_LENGTH} dev {DEVICE}".split())
            end.host.run(f"ip neighbour replace {peer.address} lladdr {peer.mac} dev {DEVICE} nud permanent".split())
            # Distribution is packet by packet: what would leave bond0 as one super-segment would take one path.
            set_offloads(end.host, DEVICE, self._wire)


def has_driver() -> bool:
    """Whether the kernel has the bonding driver; loads it if that is all it takes."""
    loaded = Path("/sys/module/bonding")
    if not loaded.exists():
        # Loaded on demand it would leave a bond0 in the machine's own namespace; with max_bonds=0 it does not.
        modprobe = ["modprobe", "--quiet", "bonding", "max_bonds=0"]
        if not Path("/proc/modules").exists() or run(modprobe, check=False).returncode != 0:
            return False
    return loaded.exists()


def _build_driver(end: _End) -> None:
    commands = [f"link add {DEVICE} address {end.mac} type bond mode balance-rr miimon 100"]
    for interface in end.host.interfaces:
        # A device must be down to be taken over, and an address of its own would still be answered for.
        commands += [f"link set {interface} down", f"address flush dev {interface}"]
        commands += [f"link set {interface} master {DEVICE}", f"link set {interface} up"]
    end.host.run(["ip", "-batch", "-"], input="\n".join([*commands, f"link set {DEVICE} up"]) + "\n")


def _build_nft(end: _End) -> None:
    end.host.run(
        ["ip", "-batch", "-"],
        input=(
            f"link add name {DEVICE} address {end.mac} type veth peer name {_PORT}\n"
            f"link set {DEVICE} up\n"
            f"link set {_PORT} up\n"
        ),
    )
    result = end.host.run(["nft", "-f", "-"], input=_nft_rules(end), check=False)
    if result.returncode != 0:
        reason = result.stderr.strip().splitlines()[0]
        raise Unsupported(f"{end.host.name}: this kernel can bond neither with its driver nor with nft: {reason}")


def _nft_rules(end: _End) -> str:
    ports = end.host.interfaces
    turns = ", ".join(f"{number} : {port}" for number, port in enumerate(ports))
    hook = "type filter hook ingress device {} priority 0; policy accept;"
    incoming = "".join(
        f"  chain from-{port} {{ {hook.format(port)} ether daddr {end.mac} fwd to {_PORT}; }}\n" for port in ports
    )
    return (
        f"table netdev {DEVICE} {{\n"
        f"  chain out {{ {hook.format(_PORT)} fwd to numgen inc mod {len(ports)} map {{ {turns} }}; }}\n"
        f"{incoming}}}\n"
    )
