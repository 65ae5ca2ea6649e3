"""Schedulers: which subflow carries the next data. One interface, one file for each.

Rules:

1. A scheduler chooses among subflows that can send now; windows, pace and backups have been looked at before.
2. It may wait (None), and is asked again with every acknowledgement. Somebody has to be on the way then, or nothing
   comes that asks it again.
3. It changes nothing: what it looks at is listed in ``base``.

How it works. ``Sending`` asks once for each burst, a super-segment at the most, of new data and of what is sent again
for a subflow that does not answer. Class attributes say what it wants beside that: backups, patience, copies.
"""

from typing import Final

from mptcp_stack.mptcp.scheduler.backup_aware import BackupAware
from mptcp_stack.mptcp.scheduler.base import Scheduler, Traffic
from mptcp_stack.mptcp.scheduler.blest import Blest
from mptcp_stack.mptcp.scheduler.ecf import Ecf
from mptcp_stack.mptcp.scheduler.lowest_rtt import LowestRtt
from mptcp_stack.mptcp.scheduler.redundant import Redundant
from mptcp_stack.mptcp.scheduler.round_robin import RoundRobin

SCHEDULERS: Final[dict[str, type[Scheduler]]] = {
    scheduler.name: scheduler for scheduler in (LowestRtt, RoundRobin, Redundant, Blest, Ecf, BackupAware)
}

__all__ = ["SCHEDULERS", "Scheduler", "Traffic"]
