"""Steps and checks that several features share."""

from testbed.interop.checks import Check, exactly
from testbed.stacks.base import CLIENT, SERVER

MUCH = 500_000
"""More than a subflow's first windows, so that a second one gets its share."""

AFTER_JOIN = {
    CLIENT: ("until MPJoinSynAckRx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
    SERVER: ("until MPJoinAckRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
}
"""An exchange that waits for the second subflow."""

CONNECTED: tuple[Check, ...] = (
    exactly(CLIENT, "MPCapableSYNTX", 1),
    exactly(SERVER, "MPCapableSYNRX", 1),
    exactly(CLIENT, "MPCapableSYNACKRX", 1),
    exactly(SERVER, "MPCapableACKRX", 1),
)
JOINED: tuple[Check, ...] = (
    exactly(CLIENT, "MPJoinSynTx", 1),
    exactly(SERVER, "MPJoinSynRx", 1),
    exactly(CLIENT, "MPJoinSynAckRx", 1),
    exactly(SERVER, "MPJoinAckRx", 1),
)

FROM_CLIENT, FROM_SERVER = 'iifname "router-eth1"', 'iifname "router-eth3"'
SYN, SYN_ACK, OTHERS = (f"tcp flags & (syn|ack) == {flags}" for flags in ("syn", "syn|ack", "ack"))
STRIP = "reset tcp option mptcp"
ONCE = "limit rate 1/day burst 1 packets"
"""True for the first packet that comes so far."""
ADD_ADDR_LATE = (f"tcp option mptcp subtype 3 {ONCE} drop",)
ADD_ADDR_SOON = {"net.mptcp.add_addr_timeout": "1"}
"""The first ADD_ADDR is lost, and the kernel says it again after one second."""
