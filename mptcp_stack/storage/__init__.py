"""Data structures without protocol: sequence arithmetic, ranges, queues, reassembly, timers."""

from mptcp_stack.storage.chunks import Chunks, cut, length_of
from mptcp_stack.storage.range_set import RangeSet
from mptcp_stack.storage.reassembly import Reassembly, Tail
from mptcp_stack.storage.receive_queue import ReceiveQueue
from mptcp_stack.storage.send_queue import SendQueue
from mptcp_stack.storage.sequence import MASK_32, MASK_64, expand_32, expand_64
from mptcp_stack.storage.timers import NEVER, Timer, Timers

__all__ = [
    "MASK_32",
    "MASK_64",
    "NEVER",
    "Chunks",
    "RangeSet",
    "Reassembly",
    "ReceiveQueue",
    "SendQueue",
    "Tail",
    "Timer",
    "Timers",
    "cut",
    "expand_32",
    "expand_64",
    "length_of",
]
