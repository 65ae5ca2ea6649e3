"""A TCP and Multipath TCP (RFC 8684) stack in Python.

It is sans-IO up to the devices in `phy` and the application faces in `runtime`.
Imports only go down this list: runtime, phy and sim, stack, events, mptcp, tcp, observe, congestion, ip_reassembly,
storage, wire. A contract in pyproject.toml holds it. `build` compiles them, and is called here so that no import of the
stack passes it by.
"""

from .build import use_compiled

use_compiled()
