"""Data structures without protocol: sequence arithmetic, ranges, queues, reassembly, timers.

Rules:

1. Sequence numbers are unwrapped integers that only grow; `expand_32` and `expand_64` make them of those on the wire,
   nearest to one that is known.
2. Payload is a list of views (`Chunks`), cut and counted without copying. What a peer or an application makes small is
   joined, so that memory follows the bytes held and not their number of pieces.
3. A queue's head moves by an index, and the list behind it is cut now and then: taking from the front costs the same
   however much is there.

How it works. `SendQueue` holds a stream from what was acknowledged last to what was written last. `Reassembly` holds
what arrived, in any order, beyond what is next (`RangeSet`: which), and gives out what is in order; it knows what that
costs in memory, where `ReceiveQueue` is for bytes in order. `Timers` is one heap for a whole stack.
"""

from mptcp_stack.storage.chunks import Chunks, cut, length_of
from mptcp_stack.storage.range_set import NO_RANGES, RangeSet
from mptcp_stack.storage.reassembly import Reassembly, tail_agrees, tail_of
from mptcp_stack.storage.receive_queue import ReceiveQueue
from mptcp_stack.storage.send_queue import SendQueue
from mptcp_stack.storage.sequence import MASK_32, MASK_64, expand_32, expand_64
from mptcp_stack.storage.timers import NEVER, Timer, Timers

__all__ = [
    "MASK_32",
    "MASK_64",
    "NEVER",
    "NO_RANGES",
    "Chunks",
    "RangeSet",
    "Reassembly",
    "ReceiveQueue",
    "SendQueue",
    "Timer",
    "Timers",
    "cut",
    "expand_32",
    "expand_64",
    "length_of",
    "tail_agrees",
    "tail_of",
]
