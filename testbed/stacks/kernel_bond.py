"""The kernel's TCP over all paths at once, bonded round-robin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.stacks.base import SERVER, Evidence
from testbed.stacks.counters import Counters
from testbed.stacks.kernel_tcp import KernelTcp

if TYPE_CHECKING:
    from testbed.lab import Lab

UNEVEN_SHARE = 0.1
"""How far from an even share of the bytes a path may be, as a part of that share."""


class KernelBond(KernelTcp):
    """The kernel's TCP over a round-robin bond of all paths."""

    name = "kernel-bond"
    label = "kernel TCP, bonded"

    def prepare(self, lab: Lab) -> None:
        """Set up kernel TCP, then the bond."""
        super().prepare(lab)
        lab.configure_bond()

    def server_address(self, lab: Lab) -> str:
        """Return the server's address on the bond."""
        return lab.bond_address(SERVER)

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check kernel TCP, and that the bond spread the server's bytes evenly."""
        sent = {name: counted[SERVER].interfaces[name]["tx_bytes"] for name in lab.hosts[SERVER].interfaces}
        even = sum(sent.values()) / len(sent)
        if not even:
            return ["no byte went over the bond's paths"]
        uneven = [
            f"the bond is not round-robin: {name} carried {number / sum(sent.values()):.0%} of the bytes"
            for name, number in sent.items()
            if abs(number - even) > even * UNEVEN_SHARE
        ]
        return super().verify(lab, counted, evidence) + uneven
