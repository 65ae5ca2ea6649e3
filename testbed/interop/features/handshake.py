"""Connections: MP_CAPABLE, version, data early and in both directions, fallback (RFC 8684 sections 3.1, 3.7)."""

from testbed.interop.checks import KERNEL, OURS, Seen, exactly
from testbed.interop.scenario import Scenario
from testbed.stacks.base import CLIENT, SERVER

SECTION = "RFC 8684 section 3.1"
HANDSHAKE = (
    exactly(CLIENT, "MPCapableSYNTX", 1),
    exactly(SERVER, "MPCapableSYNRX", 1),
    exactly(CLIENT, "MPCapableSYNACKRX", 1),
    exactly(SERVER, "MPCapableACKRX", 1),
)
SCENARIOS = (
    Scenario(
        name="mp-capable",
        title="MP_CAPABLE handshake, data both ways",
        section=SECTION,
        checks=(
            *HANDSHAKE,
            Seen(CLIENT, "MP_CAPABLE", 2),
            Seen(SERVER, "MP_CAPABLE"),
            Seen(OURS, "DSS"),
            Seen(KERNEL, "DSS"),
        ),
    ),
    Scenario(
        name="third-ack-lost",
        title="Third ACK lost: the first data completes the handshake",
        section=SECTION,
        rules=('iifname "router-eth1" tcp flags & (syn|ack) == ack limit rate 1/day burst 1 packets drop',),
        checks=(*HANDSHAKE, Seen(CLIENT, "MP_CAPABLE", 2)),
    ),
)
