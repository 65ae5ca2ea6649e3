"""Two paths of unlike speed, WiFi and 3G, with send and receive buffers of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from testbed.host.sysctls import temporarily
from testbed.lab import Lab
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER, StackUnderTest
from testbed.stacks.kernel_tcp import KernelTcp
from testbed.stacks.python_mptcp import PythonMptcp
from testbed.stacks.python_tcp import PythonTcp

_BOUNDS = ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
_KERNEL_MINIMUM_BYTES = 4096

WIFI, MOBILE, BOTH = "WiFi", "3G", "both"
"""The paths of the topology wifi-3g, as a factor of points."""


@contextmanager
def with_buffer(lab: Lab, stack: StackUnderTest, buffer_bytes: int) -> Iterator[None]:
    """Let connections of `stack` have at most `buffer_bytes` of send and as much of receive buffer, in the block.

    Ours counts payload, and offers all of it as its window. The kernel counts memory, of which half is for its own
    keeping (`tcp_adv_win_scale` 1): so its bounds, `tcp_rmem` and `tcp_wmem`, are set to twice the size, and below the
    bound it tunes the buffers itself. Raises LabError when the kernel refuses.
    """
    if isinstance(stack, PythonMptcp):
        before = stack.settings
        stack.configure([f"{side}_buffer_bytes={buffer_bytes}" for side in ("send", "receive")])
        try:
            yield
        finally:
            stack.settings = before
        return
    memory_bytes = 2 * buffer_bytes
    bounds = f"{_KERNEL_MINIMUM_BYTES} {min(131_072, memory_bytes)} {memory_bytes}"
    with ExitStack() as changes:
        for host in (CLIENT, SERVER):
            changes.enter_context(temporarily(lab.hosts[host], dict.fromkeys(_BOUNDS, bounds)))
        yield


class _OverSecondPath(KernelTcp):
    """The kernel's TCP as it is, but to the server's address on the second path."""

    def server_address(self, lab: Lab) -> str:
        """Return the server kernel's address on the second path."""
        return lab.hosts[SERVER].addresses[1]


def lines(stacks: Sequence[str]) -> list[tuple[str, str]]:
    """Return each of `stacks` with the paths that it is measured over: the kernel's TCP over either, others as they do.

    Our TCP, as any other, is measured over the first path.
    """
    found = []
    for stack in stacks:
        made = create(stack)
        if made.name == KernelTcp.name:
            found += [(stack, WIFI), (stack, MOBILE)]
        else:
            found.append((stack, WIFI if made.name == PythonTcp.name else BOTH))
    return found


def over_path(stack: StackUnderTest, path: str) -> StackUnderTest:
    """Return `stack`, prepared as it is, for connections over `path`."""
    return _OverSecondPath(stack.congestion) if path == MOBILE else stack
