"""A congestion control of one's own: how the window grows, and to what it falls at a loss.

In the simulator, without root (`simulation.py` says what it plays):

    .venv/bin/python -m examples.simulation mptcp=off+congestion=reno \
        mptcp=off+congestion=examples.congestion_control:Scalable

prints

    mptcp=off+congestion=reno                                  3.31 s, WiFi 5.2 MB, mobile 0.0 MB
    mptcp=off+congestion=examples.congestion_control:Scalable  3.19 s, WiFi 5.2 MB, mobile 0.0 MB

In the lab, beside the kernel's, it prints a table and draws a figure:

    sudo ./lab run lossy-link --stacks kernel-tcp@cubic,python-tcp@examples.congestion_control:Scalable \
        --set losses=1% --set repetitions=1

Slow start and recovery are everybody's; `mptcp_stack/congestion/base.py` is the interface.
"""

from mptcp_stack.congestion import CongestionControl


class Scalable(CongestionControl):
    """Scalable TCP (Kelly 2003): so many round trips from one loss to the next, whatever the window."""

    name = "scalable"

    def increase(self, acked_bytes, now):
        return acked_bytes * max(0.01, self.mss / self.cwnd)

    def decrease(self, now):
        return self.cwnd * 7 / 8
