"""Further subflows: MP_JOIN in both roles, backups, refusals, limits (RFC 8684 section 3.2)."""

from testbed.interop.checks import Seen, exactly
from testbed.interop.scenario import Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.2"
JOINED = (
    exactly(CLIENT, "MPJoinSynTx", 1),
    exactly(SERVER, "MPJoinSynRx", 1),
    exactly(CLIENT, "MPJoinSynAckRx", 1),
    exactly(SERVER, "MPJoinAckRx", 1),
)
SCENARIOS = (
    Scenario(
        name="mp-join",
        title="MP_JOIN from the client's second address",
        section=SECTION,
        second={CLIENT: "subflow"},
        checks=(*JOINED, Seen(CLIENT, "MP_JOIN", 2), Seen(SERVER, "MP_JOIN", 1)),
    ),
    Scenario(
        name="add-addr",
        title="ADD_ADDR announces the server's second address, echoed and joined",
        section="RFC 8684 section 3.4.1",
        second={SERVER: "signal"},
        checks=(*JOINED, Seen(SERVER, "ADD_ADDR", where={"echo": "0"}), Seen(CLIENT, "ADD_ADDR", where={"echo": "1"})),
    ),
)
