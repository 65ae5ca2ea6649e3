"""Explicit Congestion Notification: routers mark instead of dropping (RFC 3168 section 6.1)."""

from typing import Final

from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.wire import ACK, CWR, ECE, Segment

ECN_CHOICES: Final = ("off", "accept", "on")
"""Neither ask for ECN nor take it, take it when a peer asks, ask for it as well."""

ECT_0: Final = 2
CE: Final = 3
SETUP_SYN: Final = ECE | CWR
SETUP_SYN_ACK: Final = ECE


def accepts_ecn(config: TcpConfig, syn: Segment) -> bool:
    """Whether the answer to a peer's SYN is to say that we speak ECN."""
    return config.ecn != "off" and syn.flags & (ECE | CWR) == SETUP_SYN


class Ecn:
    """One endpoint's part in it, both as receiver and as sender of data.

    ``agreed``: both sides speak it. ``echo``: say ECE on all that leaves.
    """

    __slots__ = ("_config", "_reduced", "_reduced_at", "agreed", "echo")

    def __init__(self, config: TcpConfig, iss: int) -> None:
        self._config = config
        self.agreed = False
        self.echo = False
        self._reduced = False
        self._reduced_at = iss

    def setup_flags(self, answering: bool, transmissions: int) -> int:
        """For a SYN/ACK or a SYN of ours. One that is sent again does not ask: the path may not like it."""
        if answering:
            return SETUP_SYN_ACK if self.agreed else 0
        return SETUP_SYN if self._config.ecn == "on" and transmissions == 1 else 0

    def take_setup(self, syn: Segment, transmissions: int) -> None:
        """The peer's SYN or SYN/ACK, after so many SYNs of ours (section 6.1.1).

        A SYN/ACK with both flags comes from a peer that only reflects ours.
        """
        if syn.flags & ACK:
            asked = self.setup_flags(False, transmissions)
            self.agreed = bool(asked) and syn.flags & (ECE | CWR) == SETUP_SYN_ACK
        else:
            self.agreed = accepts_ecn(self._config, syn)

    def receive(self, segment: Segment) -> bool:
        """Look at what marks and flags a data segment carries; whether to acknowledge at once."""
        before = self.echo
        if segment.flags & CWR:
            self.echo = False
        if segment.ecn == CE:
            self.echo = True
        return self.echo and not before

    def asks_to_reduce(self, segment: Segment, una: int, following: int) -> bool:
        """Whether an acknowledgement reports a mark that was not answered yet: once for a window of data."""
        if not segment.flags & ECE or una <= self._reduced_at:
            return False
        self._reduced_at = following
        self._reduced = True
        return True

    def flags_of_new_data(self) -> int:
        """CWR on the first new segment after a reduction."""
        reduced, self._reduced = self._reduced, False
        return CWR if reduced else 0
