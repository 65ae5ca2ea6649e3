"""Plain TCP where MPTCP cannot be: peers without it, options removed on the way (RFC 8684 section 3.7)."""

from testbed.interop.checks import Check, Ended, Seen, exactly
from testbed.interop.features.steps import FROM_CLIENT, FROM_SERVER, OTHERS, STRIP, SYN, SYN_ACK
from testbed.interop.scenario import Lacking, Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.7"
NO_SYN_ACK, NO_THIRD_ACK, NO_DSS = "MPCapableFallbackSYNACK", "MPCapableFallbackACK", "MPCapableDataFallback"


def noticed(client: str = "", server: str = "") -> tuple[Check, ...]:
    """Each side counts the one reason that it notices, and no other."""
    return tuple(
        exactly(side, reason, int(reason == own))
        for side, own in ((CLIENT, client), (SERVER, server))
        for reason in (NO_SYN_ACK, NO_THIRD_ACK, NO_DSS)
    )


def data_in_syn(cookies: bool) -> Scenario:
    """The kernel as a client that sends data in its SYN, which we do not take; from there on it is TCP.

    Linux says the bytes again without MP_CAPABLE. Behind a cookie nobody knows that there was one in the SYN.
    """
    seen = Seen(CLIENT, "MP_CAPABLE", where={"tcp.flags": is_syn, "tcp.len": has_data})
    return Scenario(
        name="syn-data-cookies" if cookies else "syn-data",
        title="Data in the SYN, which is answered with a cookie"
        if cookies
        else "Data in the SYN, without a cookie of TFO",
        section="RFC 8684 sections 3.1 and 3.7, RFC 7413",
        early=True,
        kernel={"net.ipv4.tcp_fastopen": "5"},
        ours=("syn_cookies=always",) if cookies else (),
        roles=(SERVER,),
        mptcp=False,
        checks=(*noticed(client=NO_DSS, server="" if cookies else NO_THIRD_ACK), seen),
        lacking=Lacking(Ended(CLIENT, "OSError"), "no data in the SYN of a socket of MPTCP (Linux 6.2 or later)"),
    )


def is_syn(flags: str) -> bool:
    """Whether TCP's flags, in hexadecimal, are those of a SYN without ACK."""
    return int(flags, 16) & 0x12 == 0x02


def has_data(length: str) -> bool:
    """Whether a segment has payload."""
    return int(length) > 0


SCENARIOS = (
    Scenario(
        name="tcp-server",
        title="The client asks a server without MPTCP",
        section="RFC 8684 section 3.1",
        kernel_mptcp=False,
        roles=(CLIENT,),
        mptcp=False,
        checks=noticed(client=NO_SYN_ACK),
    ),
    Scenario(
        name="tcp-client",
        title="A client without MPTCP asks the server",
        section="RFC 8684 section 3.1",
        kernel_mptcp=False,
        roles=(SERVER,),
        mptcp=False,
        checks=noticed(),
    ),
    Scenario(
        name="stripped-syn",
        title="Options removed from the SYN",
        section=SECTION,
        rules=(f"{FROM_CLIENT} {SYN} {STRIP}",),
        mptcp=False,
        checks=noticed(client=NO_SYN_ACK),
    ),
    Scenario(
        name="stripped-syn-ack",
        title="Options removed from the SYN/ACK",
        section=SECTION,
        rules=(f"{FROM_SERVER} {SYN_ACK} {STRIP}",),
        mptcp=False,
        checks=noticed(client=NO_SYN_ACK, server=NO_THIRD_ACK),
    ),
    Scenario(
        name="stripped-ack",
        title="MP_CAPABLE removed from the third ACK and the first data",
        section=SECTION,
        rules=(f"{FROM_CLIENT} {OTHERS} tcp option mptcp subtype 0 {STRIP}",),
        mptcp=False,
        checks=noticed(client=NO_DSS, server=NO_THIRD_ACK),
    ),
    Scenario(
        name="stripped-data",
        title="Options removed from everything but SYN and SYN/ACK",
        section=SECTION,
        rules=(f"{OTHERS} {STRIP}",),
        mptcp=False,
        checks=noticed(client=NO_DSS, server=NO_THIRD_ACK),
    ),
    Scenario(
        name="stripped-all",
        title="Options removed everywhere",
        section=SECTION,
        rules=(STRIP,),
        mptcp=False,
        checks=noticed(client=NO_SYN_ACK),
    ),
    data_in_syn(cookies=False),
    data_in_syn(cookies=True),
)
