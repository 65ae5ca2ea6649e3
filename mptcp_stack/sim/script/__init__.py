"""Scripts of packets in the manner of packetdrill: a time line of segments in and out with the application's calls
between, played against a stack in virtual time. The notation is described in ``docs/scripts.md``.
"""

from mptcp_stack.sim.script.player import Player, ScriptFailure, play
from mptcp_stack.sim.script.steps import Script, ScriptError, load, parse

__all__ = ["Player", "Script", "ScriptError", "ScriptFailure", "load", "parse", "play"]
