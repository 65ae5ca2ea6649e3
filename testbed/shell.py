"""`./lab shell TOPOLOGY`: Mininet's prompt on a lab."""

from __future__ import annotations

from testbed.lab import Lab
from testbed.spec import Topology


def open_shell(topology: Topology) -> None:
    """Start a lab and give its user Mininet's prompt until they leave it. After `namespace.enter()`."""
    with Lab(topology) as lab:
        lab.prompt()
