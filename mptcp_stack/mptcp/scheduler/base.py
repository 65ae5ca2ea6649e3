"""The interface of a scheduler. Adding one: subclass ``Scheduler`` and register its name.

What a scheduler may look at:

- of each subflow: ``srtt_ns``, ``rtt_variation_ns``, ``cwnd_bytes``, ``in_flight_bytes``, ``mss``, ``backup``,
  ``failing`` (its retransmission timer has expired since it last answered) and ``repairing`` (it has lost something);
- of the connection: ``self.traffic``, see below.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from mypy_extensions import mypyc_attr

from mptcp_stack.mptcp.subflow.subflow import Subflow


class Traffic(ABC):
    """What a connection has to send, and over what."""

    __slots__ = ()

    @property
    @abstractmethod
    def subflows(self) -> list[Subflow]:
        """Every established subflow, also those that have no room at the moment."""

    @property
    @abstractmethod
    def unsent_bytes(self) -> int:
        """Bytes from the application that were not sent on any subflow."""

    @property
    @abstractmethod
    def window_bytes(self) -> int:
        """How much the peer takes beyond the oldest byte that it has not acknowledged, sent already or not."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheduler(ABC):
    """Decides, burst by burst, which subflow carries the next data of one connection."""

    name: ClassVar[str] = ""
    uses_backups: ClassVar[bool] = False
    """Be offered backup subflows also while a regular one answers, which RFC 8684 section 3.3.8 advises against."""
    patient: ClassVar[bool] = False
    """With small buffers, leave the selected subflow idle while pace alone holds up one that is sooner there."""
    redundant: ClassVar[bool] = False
    """What it sends on one subflow is sent on every other one as well, as fast as that one can."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    @abstractmethod
    def select(self, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow | None:
        """One of ``subflows``, all of which can send now, for the next ``burst_bytes`` at the most.

        None: wait for one that has no room yet; it is asked again with every acknowledgement.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks select")
