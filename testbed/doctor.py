"""What this machine has of what the lab can use: asks the kernel, assumes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from testbed.links.bond import has_driver

HAVE, MISSING, UNKNOWN = "have", "missing", "unknown"

_PROGRAMS = {
    "ip": "namespaces, addresses, routes",
    "tc": "shaped links",
    "ethtool": "offloads of links",
    "mnexec": "Mininet's hosts",
    "mptcpize": "real programs over the kernel's MPTCP",
    "nft": "bonded links without the bonding module",
    "apache2": "cross-check with a real server",
    "ab": "cross-check with a real load generator",
    "iperf3": "cross-check of bulk transfers",
    "tcpdump": "captures",
    "tshark": "captures, read",
}
_QDISCS = {
    "tbf": ("root tbf rate 1mbit burst 10kb limit 100000", "rate and queue of shaped links"),
    "clsact": ("clsact", "wires of shaped links"),
    "netem": ("root netem delay 1ms", "delay and loss of links"),
}


class Finding(NamedTuple):
    """One thing: whether it is there, what for, and whether the lab cannot do without."""

    name: str
    state: str
    use: str
    needed: bool = False


def examine() -> list[Finding]:
    """Return what was found; as root also what only a trial shows (in a network namespace of its own)."""
    mptcp = Path("/proc/sys/net/mptcp/enabled")
    return [
        Finding("root", _state(os.geteuid() == 0), "building a lab", needed=True),
        Finding("kernel: MPTCP", _state(mptcp.exists()), "kernel-mptcp", needed=True),
        Finding("kernel: TUN", _state(Path("/dev/net/tun").exists()), "the Python stack's device", needed=True),
        Finding("kernel: veth", _trial("ip link add name a type veth peer name b"), "links", needed=True),
        *(
            Finding(f"kernel: {name}", _trial(f"tc qdisc add dev lo {options}"), use, name != "netem")
            for name, (options, use) in _QDISCS.items()
        ),
        Finding("kernel: bonding", _bonding(), "bonded links (nft otherwise)"),
        Finding("cubic and reno", _state(_congestion_controls() >= {"cubic", "reno"}), "equal terms", needed=True),
        *(
            Finding(
                f"program: {name}",
                _state(shutil.which(name) is not None),
                use,
                name in ("ip", "tc", "mnexec"),
            )
            for name, use in _PROGRAMS.items()
        ),
    ]


def _state(found: bool) -> str:
    return HAVE if found else MISSING


def _trial(command: str) -> str:
    """Try a command in a network namespace that ends with it; only root can."""
    if os.geteuid() != 0:
        return UNKNOWN
    done = subprocess.run(["unshare", "--net", *command.split()], capture_output=True, timeout=10)
    return _state(done.returncode == 0)


def _bonding() -> str:
    return _state(has_driver()) if os.geteuid() == 0 else UNKNOWN


def _congestion_controls() -> set[str]:
    return set(Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split())
