"""Placement: which cores run a measurement's programs and its packets, set, verified, recorded and put back.

Programs begin on their cores (``processes``). Where packets and the emulator are processed is in force for a block
(``apply``, called by the lab), verified when it begins and when it ends, and put back then: by the guardian of the
namespace, if the block does not get to its end.
"""

from testbed.placement.spec import ANYWHERE, Placement

__all__ = ["ANYWHERE", "Placement"]
