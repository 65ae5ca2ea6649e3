"""Addresses told to the peer and taken back, priorities of subflows (RFC 8684 sections 3.3.8, 3.4)."""

from testbed.interop.checks import Count, Seen, Share, exactly, on_first
from testbed.interop.features.steps import ADD_ADDR_LATE, ADD_ADDR_SOON, AFTER_JOIN, JOINED, MUCH
from testbed.interop.scenario import JOIN_PORT, Lacking, Scenario
from testbed.stacks.base import CLIENT, SERVER

ADD_ADDR = "RFC 8684 section 3.4.1"
REMOVE_ADDR = "RFC 8684 section 3.4.2"
MP_PRIO = "RFC 8684 section 3.3.8"
ON_A_PORT = {SERVER: f"signal port {JOIN_PORT}"}
PORT_JOINED = (*JOINED, Seen(SERVER, "ADD_ADDR", where={"port": str(JOIN_PORT)}), Count(SERVER, "MPJoinPortAckRx"))
HEED_FLAGS = ("path_manager=default",)


def again(which: str, form: str = "") -> dict[str, tuple[str, ...]]:
    """Steps of both sides: an address of the server's goes, and comes when the client has had time to act on that.

    `form`: in which it comes.
    """
    return {
        CLIENT: (
            "until MPJoinSynAckRx 1", f"send {MUCH}", "until RmAddr 1", f"read {MUCH}", "send 1000",
            "until MPJoinSynAckRx 2", f"send {MUCH}", f"read {MUCH}", "observe", "close",
        ),
        SERVER: (
            "until MPJoinAckRx 1", f"read {MUCH}", f"withdraw {which}", f"send {MUCH}", "read 1000",
            f"announce {form or which}", "until MPJoinAckRx 2", f"read {MUCH}", f"send {MUCH}", "observe", "read",
            "close",
        ),
    }  # fmt: skip


TWICE = (exactly(SERVER, "MPJoinAckRx", 2), exactly(CLIENT, "RmAddr", 1), exactly(CLIENT, "AddAddr", 2))

FIRST_IS_BACKUP = (Share(CLIENT, 0.8), Share(SERVER, 0.8))

SCENARIOS = (
    Scenario(
        name="add-addr",
        title="ADD_ADDR, its echo, and the join that follows",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=(
            *JOINED,
            Seen(SERVER, "ADD_ADDR", where={"echo": "0", "addrid": "2"}),
            Seen(CLIENT, "ADD_ADDR", where={"echo": "1", "addrid": "2"}),
            Count(CLIENT, "AddAddr"),
            Count(SERVER, "EchoAdd"),
        ),
    ),
    Scenario(
        name="add-addr-lost",
        title="ADD_ADDR lost: repeated until it is echoed",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        kernel=ADD_ADDR_SOON,
        rules=ADD_ADDR_LATE,
        checks=(*JOINED, Count(SERVER, "AddAddrTx", 2), exactly(CLIENT, "AddAddr", 1), Count(SERVER, "EchoAdd")),
    ),
    Scenario(
        name="add-addr-port",
        title="ADD_ADDR with a port of its own, joined there",
        section=ADD_ADDR,
        second=ON_A_PORT,
        ours=HEED_FLAGS,
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=PORT_JOINED,
        lacking=Lacking(
            Count(SERVER, "AddAddrTxDrop"), "Linux has no room for it beside timestamps (MPTcpExtAddAddrTxDrop)"
        ),
    ),
    Scenario(
        name="add-addr-port-long",
        title="ADD_ADDR with a port of its own where timestamps leave room for IPv6",
        section=ADD_ADDR,
        second=ON_A_PORT,
        ours=(*HEED_FLAGS, "timestamps=false"),
        kernel={"net.ipv4.tcp_timestamps": "0"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=PORT_JOINED,
    ),
    Scenario(
        name="add-addr-limit-kernel",
        title="The kernel accepts no announced address: it does not join",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        limits=(8, 0),
        roles=(SERVER,),
        checks=(Count(CLIENT, "AddAddr"), exactly(SERVER, "MPJoinSynRx", 0)),
    ),
    Scenario(
        name="add-addr-limit-ours",
        title="We accept no announced address: we do not join",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        ours=("max_addresses_accepted=0",),
        roles=(CLIENT,),
        checks=(Count(CLIENT, "AddAddr"), exactly(SERVER, "MPJoinSynRx", 0)),
    ),
    Scenario(
        name="remove-addr-server",
        title="REMOVE_ADDR from the server",
        section=REMOVE_ADDR,
        second={SERVER: "signal"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", "until RmAddr 1", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", f"read {MUCH}", "withdraw", f"send {MUCH}", "observe", "read", "close"),
        checks=(
            *JOINED,
            Seen(SERVER, "REMOVE_ADDR", where={"addrid": "2"}),
            exactly(SERVER, "RmAddrTx", 1),
            exactly(CLIENT, "RmAddr", 1),
        ),
    ),
    Scenario(
        name="remove-addr-client",
        title="REMOVE_ADDR from the client",
        section=REMOVE_ADDR,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", "withdraw", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", f"read {MUCH}", "until RmAddr 1", f"send {MUCH}", "observe", "read", "close"),
        checks=(
            *JOINED,
            Seen(CLIENT, "REMOVE_ADDR", where={"addrid": "2"}),
            exactly(CLIENT, "RmAddrTx", 1),
            exactly(SERVER, "RmAddr", 1),
            on_first(SERVER),
        ),
    ),
    Scenario(
        name="add-addr-several",
        title="Three addresses announced at once: each arrives, and none twice",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        others={SERVER: "signal"},
        client=("until AddAddr 3", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until EchoAdd 3", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(exactly(SERVER, "AddAddrTx", 3), exactly(CLIENT, "AddAddrDrop", 0), Count(CLIENT, "MPJoinSynTx")),
    ),
    Scenario(
        name="remove-addr-several",
        title="Three addresses withdrawn at once: in one REMOVE_ADDR",
        section=REMOVE_ADDR,
        second={SERVER: "signal"},
        others={SERVER: "signal"},
        client=("until AddAddr 3", f"send {MUCH}", "until RmAddr 3", f"read {MUCH}", "observe", "close"),
        server=("until EchoAdd 3", f"read {MUCH}", "withdraw others", f"send {MUCH}", "observe", "read", "close"),
        checks=(
            Seen(SERVER, "REMOVE_ADDR", high=1),
            exactly(CLIENT, "RmAddr", 3),
            exactly(CLIENT, "RmAddrDrop", 0),
            on_first(SERVER),
        ),
    ),
    Scenario(
        name="add-addr-again",
        title="Withdrawn and announced again: joined again, within a budget of one address",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        limits=(8, 1),
        client=again("second")[CLIENT],
        server=again("second")[SERVER],
        checks=TWICE,
    ),
    Scenario(
        name="first-addr-again",
        title="The first address withdrawn and announced again (ID 0): joined",
        section=REMOVE_ADDR,
        first={SERVER: "signal"},
        second={SERVER: "signal"},
        client=again("first")[CLIENT],
        server=again("first")[SERVER],
        checks=(
            *TWICE,
            Seen(SERVER, "REMOVE_ADDR", where={"addrid": "0"}),
            Seen(SERVER, "ADD_ADDR", where={"echo": "0", "addrid": "0"}),
        ),
    ),
    Scenario(
        name="add-addr-nobody",
        title="A multicast address announced: echoed, and nothing goes there",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", "until AddAddr 2", f"read {MUCH}", "observe", "close"),
        server=(
            "until MPJoinAckRx 1", f"read {MUCH}", "announce nobody", "until EchoAdd 2", f"send {MUCH}", "observe",
            "read", "close",
        ),
        checks=(*JOINED, Count(CLIENT, "MPJoinSynTxConnectErr"), exactly(CLIENT, "AddAddrDrop", 0)),
    ),
    Scenario(
        name="add-addr-mapped",
        title="An IPv4 address announced in its mapped form: joined over IPv4",
        section=ADD_ADDR,
        second={SERVER: "signal"},
        client=again("second", "mapped")[CLIENT],
        server=again("second", "mapped")[SERVER],
        checks=TWICE,
    ),
    Scenario(
        name="add-addr-both",
        title="Both sides announce an address at once",
        section=ADD_ADDR,
        second={CLIENT: "signal", SERVER: "signal"},
        ours=HEED_FLAGS,
        client=("until AddAddr 1", "until EchoAdd 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until AddAddr 1", "until EchoAdd 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(
            *(exactly(side, name, 1) for side in (CLIENT, SERVER) for name in ("AddAddr", "EchoAdd", "EchoAddTx")),
            Count(CLIENT, "MPJoinSynTx"),
        ),
    ),
    Scenario(
        name="mp-prio-first-client",
        title="The client's first address is for backups: said by MP_PRIO",
        section=MP_PRIO,
        first={CLIENT: "subflow backup"},
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", "until MPPrioRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(*JOINED, *FIRST_IS_BACKUP, Seen(CLIENT, "MP_PRIO"), Count(SERVER, "MPPrioRx")),
    ),
    Scenario(
        name="mp-prio-first-server",
        title="The server's first address is for backups: said by MP_PRIO",
        section=MP_PRIO,
        first={SERVER: "signal backup"},
        second={SERVER: "signal"},
        client=("until MPJoinSynAckRx 1", "until MPPrioRx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(*JOINED, *FIRST_IS_BACKUP, Seen(SERVER, "MP_PRIO"), Count(CLIENT, "MPPrioRx")),
    ),
    Scenario(
        name="mp-prio-client",
        title="MP_PRIO from the client: its second subflow becomes a backup",
        section=MP_PRIO,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", "backup", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", "until MPPrioRx 1", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(*JOINED, Seen(CLIENT, "MP_PRIO"), Count(SERVER, "MPPrioRx"), on_first(SERVER), on_first(CLIENT)),
    ),
    Scenario(
        name="mp-prio-server",
        title="MP_PRIO from the server: its second subflow becomes a backup",
        section=MP_PRIO,
        second={SERVER: "signal"},
        client=("until MPJoinSynAckRx 1", "until MPPrioRx 1", f"send {MUCH}", f"read {MUCH}", "observe", "close"),
        server=("until MPJoinAckRx 1", "backup", f"read {MUCH}", f"send {MUCH}", "observe", "read", "close"),
        checks=(*JOINED, Seen(SERVER, "MP_PRIO"), Count(CLIENT, "MPPrioRx"), on_first(SERVER), on_first(CLIENT)),
    ),
)  # fmt: skip
