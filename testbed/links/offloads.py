"""Segmentation and merging at the hosts' interfaces, set and read back with ethtool."""

from __future__ import annotations

from testbed.errors import LabError
from testbed.host.commands import run
from testbed.host.hosts import Host
from testbed.spec import Wire

# ethtool's names to set them by, and the ones it prints.
_FEATURES = {
    "tso": "tcp-segmentation-offload",
    "gso": "generic-segmentation-offload",
    "gro": "generic-receive-offload",
    "tx-udp-segmentation": "tx-udp-segmentation",
}

# mtu: super-segments are split at the sender's edge and merged again by the receiver.
# super-segments: they cross the link whole, so there is nothing to merge.
_BY_WIRE: dict[Wire, dict[str, str]] = {
    "mtu": {"tso": "off", "gso": "off", "tx-udp-segmentation": "off", "gro": "on"},
    "super-segments": {"tso": "on", "gso": "on", "tx-udp-segmentation": "on", "gro": "off"},
}


def set_offloads(host: Host, interface: str, wire: Wire) -> None:
    """Make `interface` put on the link what `wire` says; LabError when it does not hold."""
    asked = _BY_WIRE[wire]
    host.run(["ethtool", "-K", interface, *(word for pair in asked.items() for word in pair)])
    got = read_offloads(host, interface)
    if got != asked:
        raise LabError(f"{host.name}: {interface}: asked for offloads {asked}, but has {got}", 1)


def let_receiver_merge(wire_end: str) -> None:
    """Have what leaves by `wire_end` merged where it is received; LabError when it does not hold.

    veth merges only what comes from an interface that cuts super-segments itself; from any other it takes them whole.
    """
    run(["ethtool", "-K", wire_end, "tso", "off"])
    if (got := _states(run(["ethtool", "-k", wire_end]).stdout)["tso"]) != "off":
        raise LabError(f"{wire_end}: asked for tso off, but it is {got}", 1)


def read_offloads(host: Host, interface: str) -> dict[str, str]:
    """State of the offloads that matter here, by ethtool's short names: "on" or "off"."""
    return _states(host.run(["ethtool", "-k", interface]).stdout)


def _states(printed: str) -> dict[str, str]:
    lines = printed.splitlines()
    states = {name.strip(): value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value}
    return {short: states[long] for short, long in _FEATURES.items()}
