"""How connections begin: MP_CAPABLE and its version, early data, losses, SYN cookies (RFC 8684 section 3.1)."""

from testbed.interop.checks import KERNEL, OURS, Count, Seen
from testbed.interop.features.steps import ADD_ADDR_LATE, ADD_ADDR_SOON, CONNECTED, FROM_CLIENT, ONCE, OTHERS, SYN
from testbed.interop.scenario import Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.1"
COOKIES = "RFC 4987, RFC 8684 section 3.1"

SCENARIOS = (
    Scenario(
        name="mp-capable",
        title="MP_CAPABLE, data both ways",
        section=SECTION,
        checks=(
            *CONNECTED,
            Seen(CLIENT, "MP_CAPABLE", where={"version": "1"}),
            Seen(SERVER, "MP_CAPABLE", where={"version": "1"}),
            Seen(OURS, "DSS"),
            Seen(KERNEL, "DSS"),
        ),
    ),
    Scenario(
        name="early-data",
        title="MP_CAPABLE on the first data, with its length",
        section=SECTION,
        checks=(*CONNECTED, Seen(CLIENT, "MP_CAPABLE", where={"datalvllen": bool})),
        # An ADD_ADDR that comes before the first data shows the client that the server has got its key.
        mixed={"rules": ADD_ADDR_LATE, "kernel": ADD_ADDR_SOON},
    ),
    Scenario(
        name="server-first",
        title="The server sends first",
        section=SECTION,
        client=("read 100000", "send 100000", "observe", "close"),
        server=("send 100000", "read 100000", "observe", "read", "close"),
        checks=CONNECTED,
    ),
    Scenario(
        name="third-ack-lost",
        title="Third ACK lost: the first data completes the handshake",
        section=SECTION,
        rules=(f"{FROM_CLIENT} {OTHERS} {ONCE} drop",),
        checks=(*CONNECTED, Seen(CLIENT, "MP_CAPABLE", 2)),
    ),
    Scenario(
        name="syn-lost",
        title="SYN lost: the next one offers MPTCP again",
        section=SECTION,
        rules=(f"{FROM_CLIENT} {SYN} {ONCE} drop",),
        checks=CONNECTED,
    ),
    Scenario(
        name="version",
        title="SYN of version 2: answered with version 1",
        section=SECTION,
        rules=(f"{FROM_CLIENT} {SYN} tcp option mptcp subtype 0 @th,336,8 set 0x02",),
        altered=True,
        checks=(Seen(SERVER, "MP_CAPABLE", where={"version": "1"}),),
    ),
    Scenario(
        name="kernel-cookies",
        title="The kernel answers every SYN with a cookie",
        section=COOKIES,
        kernel={"net.ipv4.tcp_syncookies": "2"},
        roles=(CLIENT,),
        checks=(*CONNECTED, Count(KERNEL, "TcpExtSyncookiesSent"), Count(KERNEL, "TcpExtSyncookiesRecv")),
    ),
    Scenario(
        name="our-cookies",
        title="We answer every SYN with a cookie",
        section=COOKIES,
        ours=("syn_cookies=always",),
        roles=(SERVER,),
        checks=(*CONNECTED, Count(OURS, "TcpExtSyncookiesSent"), Count(OURS, "TcpExtSyncookiesRecv")),
    ),
)
