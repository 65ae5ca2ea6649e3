"""What a TCP endpoint asks of the layer above it."""

from enum import Enum, auto
from typing import Protocol

from mptcp_stack.storage import Chunks
from mptcp_stack.tcp.scoreboard import Record
from mptcp_stack.wire import MptcpOption, Options, Segment


class Verdict(Enum):
    """What becomes of an acceptable segment."""

    TAKE = auto()
    DISCARD = auto()
    """As if its payload had been lost: the peer will repeat it."""
    RESET = auto()


class Upper(Protocol):
    """The owner of an endpoint: for us always an MPTCP subflow, which may be carrying plain TCP."""

    def handshake_options(self) -> tuple[MptcpOption, ...]:
        """MPTCP options for a SYN or SYN/ACK."""

    def add_options(self, options: Options, record: Record | None) -> None:
        """Add the MPTCP options of a later segment: ``record`` is the payload it carries, if any."""

    def receive_window(self) -> int:
        """Bytes the peer may send beyond what was acknowledged."""

    def may_hold(self) -> bool:
        """Whether there is memory for payload that comes before its turn. If not, the peer has to repeat it."""

    def on_established(self, segment: Segment, now: int) -> bool:
        """The handshake is complete with ``segment``. False: what the segment says is not acceptable, reset."""

    def on_segment(self, segment: Segment, now: int) -> Verdict:
        """An acceptable segment, before its payload is looked at."""

    def on_data(self, ssn: int, chunks: Chunks, now: int) -> bool:
        """Payload in order; ``ssn`` counts from 1 at the first byte (RFC 8684 section 3.3). False: reset."""

    def expect_reset(self, segment: Segment) -> None:
        """The peer's RST is valid: ``on_closed`` comes next, and then ``on_reset``."""

    def on_reset(self, segment: Segment, now: int) -> None:
        """The peer's RST was valid; ``on_closed`` came before."""

    def on_acked(self, now: int) -> None:
        """The peer acknowledged something new."""

    def on_fin(self, now: int) -> None:
        """The peer's FIN, after all of its data."""

    def on_retransmitted(self, record: Record, now: int) -> None:
        """What was taken for lost left once more."""

    def probe(self, now: int) -> bool:
        """A tail loss probe is due: transmit a segment of new data, if there are any for this endpoint; whether so."""

    def on_timeout(self, now: int) -> None:
        """The retransmission timer expired."""

    def on_closed(self, error: OSError | None, now: int) -> None:
        """The endpoint is in CLOSED or TIME-WAIT: nothing more comes from it."""

    def wake(self) -> None:
        """Something can be sent: call the endpoint's output soon."""
