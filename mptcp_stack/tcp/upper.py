"""What a TCP endpoint asks of the layer above it."""

from abc import ABC, abstractmethod
from enum import Enum, auto

from mptcp_stack.storage import Chunks
from mptcp_stack.tcp.scoreboard import Record
from mptcp_stack.wire import MptcpOption, Options, Segment


class Verdict(Enum):
    """What becomes of an acceptable segment."""

    TAKE = auto()
    DISCARD = auto()
    """As if its payload had been lost: the peer will repeat it."""
    RESET = auto()


class Upper(ABC):
    """The owner of an endpoint: for us always an MPTCP subflow, which may be carrying plain TCP."""

    __slots__ = ()

    @abstractmethod
    def handshake_options(self) -> tuple[MptcpOption, ...]:
        """MPTCP options for a SYN or SYN/ACK."""

    @abstractmethod
    def add_options(self, options: Options, record: Record | None) -> None:
        """Add the MPTCP options of a later segment: ``record`` is the payload it carries, if any."""

    @abstractmethod
    def receive_window(self) -> int:
        """Bytes the peer may send beyond what was acknowledged."""

    @abstractmethod
    def may_hold(self) -> bool:
        """Whether there is memory for payload that comes before its turn. If not, the peer has to repeat it."""

    @abstractmethod
    def on_established(self, segment: Segment, now: int) -> bool:
        """The handshake is complete with ``segment``. False: what the segment says is not acceptable, reset."""

    @abstractmethod
    def on_segment(self, segment: Segment, now: int) -> Verdict:
        """An acceptable segment, before its payload is looked at."""

    @abstractmethod
    def on_data(self, ssn: int, chunks: Chunks, now: int) -> bool:
        """Payload in order; ``ssn`` counts from 1 at the first byte (RFC 8684 section 3.3). False: reset."""

    @abstractmethod
    def expect_reset(self, segment: Segment) -> None:
        """The peer's RST is valid: ``on_closed`` comes next, and then ``on_reset``."""

    @abstractmethod
    def on_reset(self, segment: Segment, now: int) -> None:
        """The peer's RST was valid; ``on_closed`` came before."""

    @abstractmethod
    def on_acked(self, now: int) -> None:
        """The peer acknowledged something new."""

    @abstractmethod
    def on_fin(self, now: int) -> None:
        """The peer's FIN, after all of its data."""

    @abstractmethod
    def on_retransmitted(self, record: Record, now: int) -> None:
        """What was taken for lost left once more."""

    @abstractmethod
    def probe(self, now: int) -> bool:
        """A tail loss probe is due: transmit a segment of new data, if there are any for this endpoint; whether so."""

    @abstractmethod
    def on_timeout(self, now: int) -> None:
        """The retransmission timer expired."""

    @abstractmethod
    def on_closed(self, error: OSError | None, now: int) -> None:
        """The endpoint is in CLOSED or TIME-WAIT: nothing more comes from it."""

    @abstractmethod
    def wake(self) -> None:
        """Something can be sent: call the endpoint's output soon."""

    @abstractmethod
    def dissolve(self) -> None:
        """It is over, and nobody is in a call of it: nothing refers back, so that reference counts free all of it."""
