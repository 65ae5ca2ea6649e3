"""Backups that help at the first sign of trouble."""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.scheduler.base import Scheduler
from mptcp_stack.mptcp.subflow.subflow import Subflow


@mypyc_attr(allow_interpreted_subclasses=True)
class BackupAware(Scheduler):
    """Lowest RTT, with backups as soon as no regular subflow is free of losses.

    Other schedulers see a backup only when every regular subflow has stopped answering.
    """

    name = "backup-aware"
    uses_backups = True

    @override
    def select(self, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow | None:
        if any(not (subflow.backup or subflow.repairing) for subflow in self.traffic.subflows):
            subflows = [subflow for subflow in subflows if not subflow.backup]
        return min(subflows, key=lambda subflow: subflow.srtt_ns, default=None)
