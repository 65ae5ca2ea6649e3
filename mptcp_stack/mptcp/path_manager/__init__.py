"""Path managers: one interface, one file for each."""

from mptcp_stack.mptcp.path_manager.base import PathManager
from mptcp_stack.mptcp.path_manager.fullmesh import FullMesh

PATH_MANAGERS: dict[str, type[PathManager]] = {manager.name: manager for manager in (FullMesh,)}

__all__ = ["PATH_MANAGERS", "PathManager"]
