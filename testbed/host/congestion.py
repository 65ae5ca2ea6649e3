"""Congestion control of the hosts' kernels: set, and seen on a real connection."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

from testbed.errors import LabError
from testbed.host.hosts import Host
from testbed.host.sysctls import Machine
from testbed.input.validation import unknown

AVAILABLE = "net.ipv4.tcp_available_congestion_control"
_ALLOWED = "net.ipv4.tcp_allowed_congestion_control"
_DEFAULT = "net.ipv4.tcp_congestion_control"

# A connection of the host to itself, held until standard input closes; prints its port.
_CONNECTION = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


def set_congestion_control(machine: Machine, hosts: Iterable[Host], name: str) -> None:
    """Make `name` the default of all `hosts` and see that it is used; LabError with those available."""
    available = machine.sysctl(AVAILABLE).split()
    if name not in available:
        raise LabError(unknown("congestion control", name, available))
    # Only what the machine allows may become a host's default, whoever asks.
    machine.include(_ALLOWED, name)
    for host in hosts:
        host.set_sysctl(_DEFAULT, name)
        verify_congestion(host, name)


def verify_congestion(host: Host, name: str) -> None:
    """LabError unless a new connection in `host` uses the congestion control `name` (by `ss -ti`)."""
    holder = host.popen(
        [sys.executable, "-I", "-S", "-c", _CONNECTION], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = holder.stdout.readline().strip() if holder.stdout else ""
        shown = host.run(["ss", "-Htin", "state", "established", "dport", f"= :{port}"]).stdout
    finally:
        holder.communicate()
    words = shown.split()
    if name not in words:
        raise LabError(f"{host.name}: congestion control should be {name}, but a connection shows: {shown}", 1)
