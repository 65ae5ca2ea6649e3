"""How connections end: DATA_FIN in every order, half-closed, MP_FASTCLOSE (RFC 8684 sections 3.3.3, 3.5)."""

from dataclasses import replace

from testbed.interop.checks import Count, Ended, Seen
from testbed.interop.features.steps import JOINED
from testbed.interop.scenario import ROLES, Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.3.3"
FASTCLOSE = "RFC 8684 section 3.5"
DATA_FINS = (Seen(CLIENT, "DSS", where={"datafin.flag": "1"}), Seen(SERVER, "DSS", where={"datafin.flag": "1"}))
RESET = "ConnectionResetError"


def on_ack(flags: str) -> bool:
    """Whether TCP's flags, in hexadecimal, are those of an ACK that resets nothing."""
    return int(flags, 16) & 0x14 == 0x10


FASTCLOSES = (
    Scenario(
        name="fastclose-client",
        title="MP_FASTCLOSE from the client",
        section=FASTCLOSE,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", "read 1000", "observe", "abort"),
        server=("until MPJoinAckRx 1", "send 1000", "observe", "read"),
        intact=False,
        checks=(
            Seen(CLIENT, "MP_FASTCLOSE"),
            Count(SERVER, "MPFastcloseRx"),
            Ended(SERVER, RESET),
            Ended(CLIENT, None),
        ),
    ),
    Scenario(
        name="fastclose-server",
        title="MP_FASTCLOSE from the server",
        section=FASTCLOSE,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", "send 1000", "observe", "read"),
        server=("until MPJoinAckRx 1", "read 1000", "observe", "abort"),
        intact=False,
        checks=(
            Seen(SERVER, "MP_FASTCLOSE"),
            Count(CLIENT, "MPFastcloseRx"),
            Ended(CLIENT, RESET),
            Ended(SERVER, None),
        ),
    ),
)

SCENARIOS = (
    Scenario(
        name="client-closes",
        title="The client closes first",
        section=SECTION,
        client=("send 100000", "observe", "close"),
        server=("read", "observe", "close"),
        checks=DATA_FINS,
    ),
    Scenario(
        name="server-closes",
        title="The server closes first",
        section=SECTION,
        client=("read", "observe", "close"),
        server=("send 100000", "observe", "close"),
        checks=DATA_FINS,
    ),
    Scenario(
        name="both-close",
        title="Both close at once, with two subflows",
        section=SECTION,
        second={CLIENT: "subflow"},
        client=("until MPJoinSynAckRx 1", "send 1000", "read 1000", "observe", "close"),
        server=("until MPJoinAckRx 1", "send 1000", "read 1000", "observe", "close"),
        checks=(*JOINED, *DATA_FINS),
    ),
    Scenario(
        name="half-closed-client",
        title="The client ends its data and goes on reading",
        section=SECTION,
        client=("send 1000", "shutdown", "read", "observe", "close"),
        server=("read", "send 500000", "observe", "close"),
        checks=DATA_FINS,
    ),
    Scenario(
        name="half-closed-server",
        title="The server ends its data and goes on reading",
        section=SECTION,
        client=("read", "send 500000", "observe", "close"),
        server=("send 1000", "shutdown", "read", "observe", "close"),
        checks=DATA_FINS,
    ),
    *FASTCLOSES,
    *(
        replace(
            one,
            name=one.name.replace("fastclose", "fastclose-ack"),
            title=one.title.replace("MP_FASTCLOSE", "MP_FASTCLOSE on an ACK"),
            ours=("fastclose=ack",),
            roles=(role,),
            checks=(*one.checks, Seen(role, "MP_FASTCLOSE", where={"tcp.flags": on_ack})),
        )
        for role, one in zip(ROLES, FASTCLOSES, strict=True)
    ),
)
