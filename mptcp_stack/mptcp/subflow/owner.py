"""What a subflow asks of the connection that it is a part of."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mptcp_stack.mptcp.control_block import ControlBlock
from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.storage import SendQueue
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Options, Segment

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.fallback import Fallback
    from mptcp_stack.mptcp.subflow.subflow import Subflow


class DataSender(ABC):
    """The sending half of the connection. Positions count from 0 at the first byte of the stream.

    ``queue``: what is not acknowledged, or not sent. ``fin``: our DATA_FIN, once the application has closed its side;
    ``fin_sent``: it has left.
    """

    __slots__ = ()
    queue: SendQueue
    fin: int | None
    fin_sent: bool

    @property
    @abstractmethod
    def pending_fin(self) -> Mapping | None:
        """A DATA_FIN without payload for the next segment, while ours is sent and not acknowledged (section 3.3.3)."""

    @property
    @abstractmethod
    def end(self) -> int:
        """One beyond all that was sent, the DATA_FIN included."""

    @property
    @abstractmethod
    def window_bytes(self) -> int:
        """How much the peer takes beyond the oldest byte that it has not acknowledged, sent already or not."""

    @abstractmethod
    def offer(self, window: int) -> None:
        """The peer's window in the first handshake: it counts from the first byte."""

    @abstractmethod
    def on_data_ack(self, data_ack: int, window: int, now: int) -> None:
        """A DATA_ACK with the window that counts from it (section 3.3.1)."""

    @abstractmethod
    def on_plain_ack(self, acked_bytes: int, now: int) -> None:
        """TCP acknowledged this many bytes of the stream since its beginning, where it stands for the DATA_ACK."""

    @abstractmethod
    def vouched(self) -> int:
        """Up to where TCP has acknowledged everything; nothing while more may be sent, which brings more DATA_ACKs."""

    @abstractmethod
    def probe(self, subflow: "Subflow", now: int) -> bool:
        """A tail loss probe is due on ``subflow``: a segment that it has not sent yet, if it may have any; whether so.

        New data go where the scheduler would have them, were this subflow the only one with room.
        """

    @abstractmethod
    def on_subflow_timeout(self, subflow: "Subflow") -> None:
        """The peer does not answer on ``subflow``: others take over what it has under way."""

    @abstractmethod
    def shut_at(self, subflow: "Subflow") -> int | None:
        """Where the window ends that keeps data from ``subflow``, which has nothing under way; None: none does.

        Its own, by its sequence numbers, keeps everything, also what is sent again; the connection's new data alone.
        """

    @abstractmethod
    def waits_in_vain(self, now: int) -> bool:
        """Whether a shut window is to end the connection.

        After the application has closed there is a limit: else a peer that never reads held our memory (RFC 6429).
        """

    @abstractmethod
    def fall_back(self) -> None:
        """From now on TCP's acknowledgements and its FIN speak for the stream."""


class SubflowOwner(ControlBlock):
    """The connection as its subflows see it. ``subflows_opened``: how many it has had."""

    subflows: list["Subflow"]
    subflows_opened: int
    fallback: "Fallback"

    @property
    @abstractmethod
    def data_closed(self) -> bool:
        """Both ends of data were exchanged, so that only subflows remain."""

    @abstractmethod
    def local_id_of(self, local: Address) -> int:
        """The address ID of one of our addresses; 0 is the one that the connection began with (section 3.4)."""

    @abstractmethod
    def subflow_established(self, subflow: "Subflow", now: int) -> None:
        """TCP's handshake is complete on a subflow."""

    @abstractmethod
    def subflow_confirmed(self, subflow: "Subflow", now: int) -> None:
        """The peer was heard to speak MPTCP on a subflow that we opened."""

    @abstractmethod
    def options_arrived(self, subflow: "Subflow", segment: Segment, now: int) -> None:
        """A segment has MPTCP options beside DSS."""

    @abstractmethod
    def reset_arrived(self, subflow: "Subflow", options: Options, now: int) -> None:
        """The peer has reset a subflow, by a valid RST with these options."""

    @abstractmethod
    def data_arrived(self, now: int) -> None:
        """Bytes or the end of data may have come in order: tell the application, or abort if it does not read."""

    @abstractmethod
    def subflow_timed_out(self, subflow: "Subflow", now: int) -> None:
        """The retransmission timer of a subflow has expired."""

    @abstractmethod
    def subflow_fin(self, subflow: "Subflow", now: int) -> None:
        """The peer closed its half of a subflow."""

    @abstractmethod
    def subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """A subflow is gone; what it held goes out on the others."""

    @abstractmethod
    def fail(self, error: OSError | None, now: int) -> None:
        """Reset what is there: the connection cannot go on."""
