"""Schedulers: one interface, one file for each."""

from mptcp_stack.mptcp.scheduler.base import Scheduler
from mptcp_stack.mptcp.scheduler.lowest_rtt import LowestRtt

SCHEDULERS: dict[str, type[Scheduler]] = {scheduler.name: scheduler for scheduler in (LowestRtt,)}

__all__ = ["SCHEDULERS", "Scheduler"]
