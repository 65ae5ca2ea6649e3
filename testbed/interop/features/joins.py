"""Further subflows: MP_JOIN, backups, refusals, limits, death (RFC 8684 section 3.2)."""

from testbed.interop.checks import Carried, Count, Seen, exactly
from testbed.interop.features.steps import AFTER_JOIN, JOINED, MUCH, ONCE, OTHERS, SYN, SYN_ACK
from testbed.interop.scenario import Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.2"
PATH_2_DIES = (
    "router nft add rule inet middlebox way iifname router-eth2 drop",
    "router nft add rule inet middlebox way oifname router-eth2 drop",
)

SCENARIOS = (
    Scenario(
        name="mp-join",
        title="MP_JOIN, data on both subflows",
        section=SECTION,
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=(
            *JOINED,
            Seen(CLIENT, "MP_JOIN", 2),
            Seen(SERVER, "MP_JOIN"),
            Carried(CLIENT, 2),
            Carried(SERVER, 2),
        ),
    ),
    Scenario(
        name="join-ack-lost",
        title="Third ACK of MP_JOIN lost: repeated",
        section=SECTION,
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        rules=(f"{OTHERS} tcp option mptcp subtype 1 {ONCE} drop",),
        checks=JOINED,
    ),
    Scenario(
        name="join-token",
        title="MP_JOIN with an unknown token: refused",
        section=SECTION,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynTx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinNoTokenFound 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        rules=(f"{SYN} tcp option mptcp subtype 1 @th,352,32 set 0x01020304",),
        altered=True,
        checks=(Count(SERVER, "MPJoinNoTokenFound"), exactly(SERVER, "MPJoinAckRx", 0), Carried(CLIENT, 1)),
    ),
    Scenario(
        name="join-hmac-server",
        title="SYN/ACK of MP_JOIN with a wrong HMAC: refused by the client",
        section=SECTION,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckHMacFailure 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinSynRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        rules=(f"{SYN_ACK} tcp option mptcp subtype 1 @th,352,32 set 0x01020304",),
        altered=True,
        checks=(exactly(CLIENT, "MPJoinSynAckHMacFailure", 1), exactly(SERVER, "MPJoinAckRx", 0), Carried(CLIENT, 1)),
    ),
    Scenario(
        name="join-hmac-client",
        title="Third ACK of MP_JOIN with a wrong HMAC: refused by the server",
        section=SECTION,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckHMacFailure 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        rules=(f"{OTHERS} tcp option mptcp subtype 1 @th,288,32 set 0x01020304",),
        altered=True,
        checks=(Count(SERVER, "MPJoinAckHMacFailure"), exactly(SERVER, "MPJoinAckRx", 0), Carried(SERVER, 1)),
    ),
    Scenario(
        name="path-dies",
        title="A path dies under a transfer: its data go over the other",
        section="RFC 8684 section 3.3.6",
        second={CLIENT: "subflow"},
        client=(
            "until MPJoinSynAckRx 1", f"send {MUCH}", f"read {MUCH}", *PATH_2_DIES, f"send {MUCH}", f"read {MUCH}",
            "observe", "router nft flush chain inet middlebox way", "close",
        ),
        server=(
            "until MPJoinAckRx 1", f"read {MUCH}", f"send {MUCH}", f"read {MUCH}", f"send {MUCH}", "observe", "read",
            "close",
        ),
        checks=(*JOINED, Carried(CLIENT, 2), Carried(SERVER, 2)),
    ),
)  # fmt: skip
