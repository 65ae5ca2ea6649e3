"""Path managers: one interface, one file for each. ``name:parameter`` gives one a parameter."""

from mptcp_stack.mptcp.path_manager.base import PathManager, PathManagerMaker
from mptcp_stack.mptcp.path_manager.default import Default
from mptcp_stack.mptcp.path_manager.fullmesh import FullMesh
from mptcp_stack.mptcp.path_manager.handover import Handover
from mptcp_stack.mptcp.path_manager.ndiffports import NDiffPorts
from mptcp_stack.mptcp.path_manager.userspace import Userspace

PATH_MANAGERS: dict[str, type[PathManager]] = {
    manager.name: manager for manager in (Default, FullMesh, Handover, NDiffPorts, Userspace)
}

__all__ = ["PATH_MANAGERS", "PathManager", "PathManagerMaker"]
