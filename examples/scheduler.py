"""Schedulers of one's own: which subflow carries what comes next, from useful to simple.

In the simulator, without root (`simulation.py` says what it plays):

    .venv/bin/python -m examples.simulation scheduler=lowest-rtt scheduler=examples.scheduler:WaitForFast

prints

    scheduler=lowest-rtt                                       4.28 s, WiFi 3.2 MB, mobile 2.1 MB
    scheduler=examples.scheduler:WaitForFast                   3.32 s, WiFi 5.3 MB, mobile 0.0 MB

In the lab, beside the kernel's, it prints a table and draws a figure:

    sudo ./lab run schedulers --stacks kernel-mptcp,python-mptcp+scheduler=examples.scheduler:WaitForFast \
        --set repetitions=1

A class in a file of your own is `module:Class`, with the file's folder in PYTHONPATH. docs/stack.md says what a
scheduler has to decide by.
"""

from mptcp_stack.mptcp.scheduler import Scheduler


class WaitForFast(Scheduler):
    """A slower subflow only where the fastest one would be at it for longer than the slower one's round trip."""

    name = "wait-for-fast"

    def select(self, subflows, burst_bytes):
        fast = min(self.traffic.subflows, key=lambda subflow: (subflow.failing, subflow.backup, subflow.srtt_ns))
        if fast in subflows:
            return fast
        slow = min(subflows, key=lambda subflow: subflow.srtt_ns)
        rounds = 1 + self.traffic.unsent_bytes / fast.cwnd_bytes
        return slow if rounds * fast.srtt_ns > slow.srtt_ns else None


class LargestWindow(Scheduler):
    """The subflow with the largest congestion window first."""

    name = "largest-window"

    def select(self, subflows, burst_bytes):
        return max(subflows, key=lambda subflow: subflow.cwnd_bytes)


class InTurns(Scheduler):
    """As many bytes on each subflow, as far as it has room."""

    name = "in-turns"

    def __init__(self, traffic):
        super().__init__(traffic)
        self.given = {}

    def select(self, subflows, burst_bytes):
        chosen = min(subflows, key=lambda subflow: self.given.get(subflow.number, 0))
        self.given[chosen.number] = self.given.get(chosen.number, 0) + burst_bytes
        return chosen
