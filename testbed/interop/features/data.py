"""Data sequence signals with checksums, what alters payload, and version 0 (RFC 8684 sections 3.3.1, 3.7)."""

from testbed.interop.checks import KERNEL, OURS, Count, Ended, Seen, exactly, on_both
from testbed.interop.features.steps import AFTER_JOIN, JOINED, MUCH, ONCE
from testbed.interop.scenario import BEFORE_WRAP, CHUNK, Lacking, Scenario
from testbed.stacks.base import CLIENT, SERVER


def has_checksum(options: str) -> bool:
    """Whether TCP's options, in hexadecimal, hold a DSS of 28 bytes: tshark does not show the last two of them."""
    return "1e1c2" in options


def before_wrap(number: str) -> bool:
    """Whether a data sequence number is a little below a multiple of 2**32."""
    return bool(number) and int(number) % (1 << 32) >= (1 << 32) - BEFORE_WRAP


def after_wrap(number: str) -> bool:
    """Whether it is a little above."""
    return bool(number) and 0 < int(number) % (1 << 32) <= MUCH


NUMBERS = "RFC 8684 sections 3.3.1, 3.3.2"
CHECKSUMS = "RFC 8684 section 3.3.1"
FAILURE = "RFC 8684 section 3.7"
ASKED = {"net.mptcp.checksum_enabled": "1"}
ASK = ("dss_checksum=true",)
VALID = tuple(exactly(side, "DataCsumErr", 0) for side in (CLIENT, SERVER))
WITH_CHECKSUM = tuple(Seen(side, "DSS", where={"tcp.options": has_checksum}) for side in (OURS, KERNEL))
ALTER = "meta length > 500 {} @ih,800,8 set 0x00"
"""One byte of the payload, of packets that the rest selects; the first, short mapping arrives as it was."""

SCENARIOS = (
    *(
        Scenario(
            name=f"dsn-{bits}",
            title=f"DSN and DATA_ACK of {bits} bits, ours across 2**32; Linux acknowledges as we number",
            section=NUMBERS,
            ours=(f"dsn_bits={bits}",),
            wraps=True,
            second={CLIENT: "subflow"},
            client=AFTER_JOIN[CLIENT],
            server=AFTER_JOIN[SERVER],
            checks=(
                *JOINED,
                on_both(OURS),
                Seen(OURS, "DSS", where={"rawdataseqno": before_wrap, "dseqn8.flag": flag}),
                Seen(OURS, "DSS", where={"rawdataseqno": after_wrap, "dseqn8.flag": flag}),
                Seen(KERNEL, "DSS", where={"rawdataack": after_wrap, "dataack8.flag": flag}),
                Seen(OURS, "DSS", where={"rawdataack": bool, "dataack8.flag": flag}),
            ),
        )
        for bits, flag in ((64, "1"), (32, "0"))
    ),
    Scenario(
        name="checksum",
        kernel=ASKED,
        ours=ASK,
        title="DSS checksums asked for by both, two subflows",
        section=CHECKSUMS,
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=(*JOINED, *VALID, *WITH_CHECKSUM, Seen(CLIENT, "MP_CAPABLE", where={"checksumreq.flags": "1"})),
    ),
    Scenario(
        name="checksum-ours",
        title="DSS checksums asked for by us alone",
        section=CHECKSUMS,
        ours=ASK,
        checks=(*VALID, *WITH_CHECKSUM, Seen(OURS, "MP_CAPABLE", where={"checksumreq.flags": "1"})),
    ),
    Scenario(
        name="checksum-kernel",
        title="DSS checksums asked for by the kernel alone",
        section=CHECKSUMS,
        kernel=ASKED,
        checks=(*VALID, *WITH_CHECKSUM, Seen(KERNEL, "MP_CAPABLE", where={"checksumreq.flags": "1"})),
    ),
    Scenario(
        name="checksum-fails",
        kernel=ASKED,
        ours=ASK,
        title="Payload altered on one of two paths: MP_FAIL, that subflow is reset",
        section=FAILURE,
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        rules=(ALTER.format('iifname "router-eth2"'),),
        altered=True,
        checks=(
            *JOINED,
            on_both(CLIENT),
            Count(SERVER, "DataCsumErr"),
            Count(SERVER, "MPFailTx"),
            Seen(SERVER, "MP_FAIL"),
            Count(CLIENT, "MPFailRx"),
        ),
    ),
    Scenario(
        name="checksum-fails-alone",
        kernel=ASKED,
        ours=ASK,
        title="Payload altered on the only path: MP_FAIL, infinite mapping, TCP",
        section=FAILURE,
        client=(
            "read 1000",
            "send 1000",
            "until MPFailRx 1",
            "send 400",
            f"read {CHUNK}",
            f"send {CHUNK}",
            "observe",
            "close",
        ),
        server=("send 1000", "read 1400", f"send {CHUNK}", f"read {CHUNK}", "observe", "read", "close"),
        rules=(ALTER.format(f'iifname "router-eth1" {ONCE}'),),
        altered=True,
        mptcp=False,
        intact=False,
        checks=(
            Count(SERVER, "DataCsumErr"),
            Count(SERVER, "MPFailTx"),
            Seen(SERVER, "MP_FAIL"),
            Count(CLIENT, "MPFailRx"),
            Count(CLIENT, "InfiniteMapTx"),
            Ended(CLIENT, None),
            Ended(SERVER, None),
        ),
        # It stays the only path.
        mixed={"limits": (8, 0), "ours": (*ASK, "max_addresses_accepted=0")},
    ),
    Scenario(
        name="small-buffers",
        title="Buffers of some segments on both sides, two subflows",
        section=NUMBERS,
        ours=("receive_buffer_bytes=16384", "send_buffer_bytes=16384"),
        kernel={"net.ipv4.tcp_rmem": "4096 16384 16384", "net.ipv4.tcp_wmem": "4096 16384 16384"},
        second={CLIENT: "subflow"},
        client=AFTER_JOIN[CLIENT],
        server=AFTER_JOIN[SERVER],
        checks=JOINED,
    ),
    Scenario(
        name="version-0",
        title="Version 0 (RFC 6824)",
        section="RFC 6824 section 3.1",
        ours=("mptcp_version=0", "mptcp_minimum_version=0"),
        checks=(Seen(CLIENT, "MP_CAPABLE", where={"version": "0"}), Seen(SERVER, "MP_CAPABLE", where={"version": "0"})),
        lacking=Lacking(
            Count(CLIENT, "MPCapableFallbackSYNACK"),
            "Linux speaks version 1 alone: to another it answers, and from another it takes, TCP"
            " (MPTcpExtMPCapableFallbackSYNACK of the client)",
        ),
    ),
)
