"""A TCP and Multipath TCP (RFC 8684) stack in Python.

It is sans-IO up to the devices in `phy` and the application faces in `runtime`.
Imports only go down this list: runtime, phy and sim, stack, events, mptcp, tcp, observe, congestion, ip_reassembly,
storage, wire, texts, build. A contract in pyproject.toml holds it. `build` compiles the core, and is called here, as
every import of the stack comes by.
"""

from .build import use_compiled

use_compiled()
