"""Further subflows: MP_JOIN, backups, refusals, limits, death (RFC 8684 section 3.2)."""

from testbed.interop.checks import KERNEL, Check, Count, Seen, Share, exactly, on_both, on_first
from testbed.interop.features.steps import AFTER_JOIN, JOINED, MUCH, ONCE, OTHERS, SYN, SYN_ACK
from testbed.interop.scenario import Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.2"
RESET = "RFC 8684 section 3.6"


def dies(path: int) -> tuple[str, ...]:
    """Steps of the client: nothing comes or goes any more on a path of its own."""
    rule = f"router nft add rule inet middlebox way {{}} router-eth{path} drop"
    return rule.format("iifname"), rule.format("oifname")


def dying(path: int) -> dict[str, tuple[str, ...]]:
    """Steps of both sides: a path dies between two exchanges."""
    return {
        CLIENT: (
            "until MPJoinSynAckRx 1", f"send {MUCH}", f"read {MUCH}", *dies(path), f"send {MUCH}", f"read {MUCH}",
            "observe", "router nft flush chain inet middlebox way", "close",
        ),
        SERVER: (
            "until MPJoinAckRx 1", f"read {MUCH}", f"send {MUCH}", f"read {MUCH}", f"send {MUCH}", "observe", "read",
            "close",
        ),
    }  # fmt: skip


NOT_JOINED = (exactly(SERVER, "MPJoinAckRx", 0), on_first(CLIENT))
# Where limits refuse a join section 3.2 has the first, too; Linux says the second.
MPTCP_ERROR, PROHIBITED = ({"rst_reason": f"0x{number:02x}"} for number in (1, 3))
REFUSED = (*NOT_JOINED, Seen(SERVER, "MP_TCPRST", where=MPTCP_ERROR))
FORBIDDEN = Seen(SERVER, "MP_CAPABLE", where={"nomoresubflows.flag": "1"})


def reset_by(one: str, other: str) -> tuple[Check, ...]:
    """One side's MP_TCPRST arrives at the other's."""
    return (Seen(one, "MP_TCPRST"), Count(one, "MPRstTx"), Count(other, "MPRstRx"))


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
            on_both(CLIENT),
            on_both(SERVER),
        ),
    ),
    Scenario(
        name="join-backup-client",
        title="The client joins with a backup (flag B in its SYN)",
        section=SECTION,
        second={CLIENT: "subflow backup"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=(*JOINED, Seen(CLIENT, "MP_JOIN", where={"backup.flag": "1"}), on_first(CLIENT), on_first(SERVER)),
    ),
    Scenario(
        name="join-backup-server",
        title="The server announces a backup and says so when it is joined (flag B in its SYN/ACK)",
        section=SECTION,
        second={SERVER: "signal backup"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=(*JOINED, Seen(SERVER, "MP_JOIN", where={"backup.flag": "1"}), on_first(CLIENT), on_first(SERVER)),
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
        checks=(*REFUSED, Count(SERVER, "MPJoinNoTokenFound")),
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
        checks=(
            exactly(CLIENT, "MPJoinSynAckHMacFailure", 1),
            *NOT_JOINED,
            Seen(CLIENT, "MP_TCPRST", where=MPTCP_ERROR),
        ),
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
        checks=(*REFUSED, Count(SERVER, "MPJoinAckHMacFailure")),
    ),
    Scenario(
        name="join-limit-kernel",
        title="The kernel's limit of subflows: our join refused",
        section=SECTION,
        second={CLIENT: "subflow"},
        limits=(0, 0),
        roles=(CLIENT,),
        client=("until MPJoinSynTx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinSynRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(*NOT_JOINED, Seen(KERNEL, "MP_TCPRST", where=PROHIBITED), Count(KERNEL, "MPJoinRejected")),
    ),
    Scenario(
        name="join-limit-ours",
        title="Our limit of subflows: the kernel's join refused",
        section=SECTION,
        second={CLIENT: "subflow"},
        ours=("max_subflows=1",),
        roles=(SERVER,),
        client=("until MPJoinSynTx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinSynRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=REFUSED,
    ),
    Scenario(
        name="join-forbidden",
        title="The server asks for no joins to its first address (flag C)",
        section="RFC 8684 section 3.1",
        second={CLIENT: "subflow"},
        kernel={"net.mptcp.allow_join_initial_addr_port": "0"},
        ours=("allow_join_initial_address=false",),
        checks=(FORBIDDEN, exactly(SERVER, "MPJoinSynRx", 0)),
        # The address that is announced is another one.
        mixed={"client": AFTER_JOIN[CLIENT], "server": AFTER_JOIN[SERVER], "checks": (FORBIDDEN, *JOINED)},
    ),
    Scenario(
        name="reset-client",
        title="The client resets the second subflow and says why (MP_TCPRST): its data go over the other",
        section=RESET,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", "reset", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", "until MPRstRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(*JOINED, *reset_by(CLIENT, SERVER), on_first(SERVER)),
    ),
    Scenario(
        name="reset-server",
        title="The server resets the second subflow and says why (MP_TCPRST): its data go over the other",
        section=RESET,
        second={SERVER: "signal"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", "until MPRstRx 1", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", f"read {MUCH}", "reset", f"send {MUCH}", "observe", "read", "close"),
        checks=(*JOINED, *reset_by(SERVER, CLIENT), on_first(SERVER)),
    ),
    Scenario(
        name="path-dies",
        title="A path dies under a transfer: its data go over the other",
        section="RFC 8684 section 3.3.6",
        second={CLIENT: "subflow"},
        client=dying(2)[CLIENT],
        server=dying(2)[SERVER],
        checks=(*JOINED, on_both(CLIENT), on_both(SERVER)),
    ),
    Scenario(
        name="backup-takes-over",
        title="The only regular path dies under a transfer: its data go over the backup",
        section="RFC 8684 section 3.3.8",
        second={CLIENT: "subflow backup"},
        client=dying(1)[CLIENT],
        server=dying(1)[SERVER],
        checks=(*JOINED, Share(CLIENT, 0.2), Share(SERVER, 0.2)),
    ),
    Scenario(
        name="fullmesh-limit",
        title="Four pairs of addresses, and a limit of three subflows",
        section=SECTION,
        first={CLIENT: "subflow fullmesh"},
        second={CLIENT: "subflow fullmesh", SERVER: "signal"},
        limits=(2, 8),
        ours=("max_subflows=3",),
        client=("until MPJoinSynAckRx 2", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 2", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(exactly(SERVER, "MPJoinAckRx", 2), on_both(CLIENT), on_both(SERVER)),
        # Two pairs of addresses of one version each.
        mixed={"client": AFTER_JOIN[CLIENT], "server": AFTER_JOIN[SERVER], "checks": JOINED},
    ),
)
