"""Schedulers: one interface, one file for each."""

from mptcp_stack.mptcp.scheduler.backup_aware import BackupAware
from mptcp_stack.mptcp.scheduler.base import Scheduler, Traffic
from mptcp_stack.mptcp.scheduler.blest import Blest
from mptcp_stack.mptcp.scheduler.ecf import Ecf
from mptcp_stack.mptcp.scheduler.lowest_rtt import LowestRtt
from mptcp_stack.mptcp.scheduler.redundant import Redundant
from mptcp_stack.mptcp.scheduler.round_robin import RoundRobin

SCHEDULERS: dict[str, type[Scheduler]] = {
    scheduler.name: scheduler for scheduler in (LowestRtt, RoundRobin, Redundant, Blest, Ecf, BackupAware)
}

__all__ = ["SCHEDULERS", "Scheduler", "Traffic"]
