"""Path managers: which subflows there are. One interface, one file for each.

Rules:

1. Each connection has its own, which is told what happens (``on_...``) and acts through ``connection``.
2. It opens and closes subflows and announces addresses; RFC 8684's obligations are the connection's: it answers
   announcements, checks what joins, and takes back an address of ours that is gone.
3. It may ask to be woken (``wake_at``) and does nothing of itself otherwise.
4. What it gets wrong ends its connection, and no other.

How it works. ``Retrying`` knows which pairs of addresses have no subflow, and tries again after growing pauses what
failed; ``fill`` of its subclasses says which of them to open. ``Default`` does what Linux does with flags of addresses,
``Userspace`` tells the application (``events``). ``name:parameter`` gives one a parameter (``configured``).
"""

from typing import Final

from mptcp_stack.mptcp.path_manager.base import PathManager, PathManagerMaker
from mptcp_stack.mptcp.path_manager.default import Default
from mptcp_stack.mptcp.path_manager.fullmesh import FullMesh
from mptcp_stack.mptcp.path_manager.handover import Handover
from mptcp_stack.mptcp.path_manager.ndiffports import NDiffPorts
from mptcp_stack.mptcp.path_manager.userspace import Userspace

PATH_MANAGERS: Final[dict[str, type[PathManager]]] = {
    manager.name: manager for manager in (Default, FullMesh, Handover, NDiffPorts, Userspace)
}

__all__ = ["PATH_MANAGERS", "PathManager", "PathManagerMaker"]
