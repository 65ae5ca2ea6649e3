"""The interface of a scheduler. Adding one: subclass ``Scheduler`` and register its name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow import Subflow


class Scheduler(ABC):
    """Decides, burst by burst, which subflow carries the next data of one connection."""

    name = ""

    @abstractmethod
    def select(self, subflows: Sequence["Subflow"], burst_bytes: int) -> "Subflow | None":
        """One of ``subflows``, all of which can send now, for the next ``burst_bytes`` at the most; None: wait."""
