"""Data in a SYN, which we do not take (RFC 7413 without a cookie): how its sender goes on (RFC 8684 sections 3.1, 3.7).

Linux sends the bytes again with a DSS that maps nothing, and MP_CAPABLE with what follows them.
"""

import pytest

from mptcp_stack.sim.script import parse, play
from mptcp_stack.wire import Dss, Segment
from tests.sim.scenes import DOWNLOAD, PATH, SERVER, UPLOAD, exchange, losing, make_scene, rewrite

OPENED = """
--set syn_cookies={cookies}
--ip_version={version}
0     socket(..., SOCK_STREAM, IPPROTO_MPTCP) = 3
+0    bind(3, ..., ...) = 0
+0    listen(3, 1) = 0
+0    < S 0:1000(1000) win 65535 <mss 1460,sackOK,nop,wscale 8,mp_capable v1 flags[H] nokey>
+0    > S. 0:0(0) ack 1 <...>
"""
"""A SYN with data, of which only the SYN is acknowledged."""
ACCEPTED = "+0    accept(3, ..., ...) = 4"
FALLBACKS = '%{{ assert connection.is_plain and counters["MPTcpExt{counter}"] == {counted} }}%'
FIRST = "+.01  < P. 1:1001(1000) ack 1 win 256 <dss dack4=1>"
SECOND = "+.01  < P. 1001:3001(2000) ack 1 win 256 <mp_capable v1 flags[H] key[remote,local] len=2000>"
KEYS = "+.01  < . 1:1(0) ack 1 win 256 <mp_capable v1 flags[H] key[remote,local]>"


@pytest.fixture(params=["off", "always"])
def cookies(request) -> str:
    return request.param


@pytest.fixture(params=[4, 6])
def version(request) -> int:
    return request.param


def check(cookies: str, version: int, *lines: str, counter: str = "MPCapableFallbackACK") -> None:
    """Play what follows the SYN; at the end the connection is TCP, and `counter` says why.

    Behind cookies it does not, as in Linux: nobody knows any more that MPTCP was offered.
    """
    counted = int(cookies == "off" or counter != "MPCapableFallbackACK")
    last = FALLBACKS.format(counter=counter, counted=counted)
    text = OPENED.format(cookies=cookies, version=version) + "\n".join(lines) + f"\n+0    {last}\n"
    play(parse(text, "syn_data"))


def test_first_byte_without_keys_is_tcp(cookies: str, version: int) -> None:
    check(cookies, version, FIRST, "+0    > . 1:1(0) ack 1001 <...>", ACCEPTED, "+0    read(4, ..., 5000) = 1000")


def test_what_follows_with_keys_changes_nothing(cookies: str, version: int) -> None:
    check(
        cookies, version, FIRST, "+0    > . 1:1(0) ack 1001 <...>", ACCEPTED,
        SECOND, "+0    > . 1:1(0) ack 3001 <...>", "+0    read(4, ..., 5000) = 3000",
    )  # fmt: skip


@pytest.mark.parametrize("length", [2000, 20_000])
def test_keys_of_what_follows_wait_for_the_first_byte(cookies: str, version: int, length: int) -> None:
    """The first segment is overtaken or lost: MP_CAPABLE of what follows would put its bytes where others belong.

    Nor do mappings of what follows count, which are just as wrong (Linux forgets what was in its SYN).
    """
    piece = SECOND.replace("len=2000", f"len={length}")
    further = "+.01  < P. 3001:4001(1000) ack 1 win 256 <dss dack4=1 dsn4=3001 ssn=1 dll=4000>"
    check(
        cookies, version, piece, further, FIRST, "+0    > . 1:1(0) ack 1001 <...>", ACCEPTED,
        further, "+0    > . 1:1(0) ack 1001 <...>", piece, "+0    > . 1:1(0) ack 4001 <...>",
        "+0    read(4, ..., 5000) = 4000",
    )  # fmt: skip


@pytest.mark.parametrize(
    "claim", ["mp_capable v1 flags[H] key[remote,local] len=3000", "dss dack4=1 dsn4=3001 ssn=1 dll=4000"]
)
def test_keys_came_before_the_first_byte(cookies: str, version: int, claim: str) -> None:
    further = f"+.01  < P. 3001:4001(1000) ack 1 win 256 <{claim}>"
    check(
        cookies, version, KEYS, ACCEPTED, further, "+0    > . 1:1(0) ack 1 <...>",
        FIRST, "+0    > . 1:1(0) ack 1001 <...>", SECOND, "+0    > . 1:1(0) ack 4001 <...>",
        "+0    read(4, ..., 5000) = 4000",
        counter="MPCapableDataFallback",
    )  # fmt: skip


@pytest.mark.parametrize("fin", ["F. 1:1(0) ack 1 win 256", "F. 1:1(0) ack 1 win 256 <dss fin dsn8=1 ssn=0 dll=1>"])
def test_end_without_keys_is_tcp(cookies: str, version: int, fin: str) -> None:
    """Neither data nor keys will come after it."""
    check(cookies, version, f"+.01  < {fin}", "+0    > . 1:1(0) ack 2 <...>", ACCEPTED, "+0    read(4, ..., 5000) = 0")


def test_end_of_a_subflow_is_no_end_of_data(cookies: str, version: int) -> None:
    """Nor will they after this; but whose FIN speaks MPTCP without DATA_FIN has not ended its data (section 3.3.3)."""
    fin = "+.01  < F. 1:1(0) ack 1 win 256 <dss dack4=1>"
    failed = "+0    %{ assert isinstance(connection.error, ConnectionResetError) and not connection.eof }%"
    check(cookies, version, fin, "+0    > R. 1:1(0) ack 2", ACCEPTED, failed)


def test_server_that_speaks_first(cookies: str, version: int) -> None:
    """Our data say that they are TCP's, as the sender of the SYN still speaks MPTCP."""
    check(
        cookies, version, FIRST, "+0    > . 1:1(0) ack 1001 <...>", ACCEPTED, "+0    write(4, ..., 100) = 100",
        "+0    > P. 1:101(100) ack 1001",
    )  # fmt: skip


# --- what is no data in a SYN, and remains MPTCP


@pytest.mark.parametrize("order", [(1, 1001), (1001, 1, 1001), (1001, 1001, 1, 1, 1001)])
def test_first_segment_that_was_cut_arrives_in_any_order(cookies: str, version: int, order: tuple[int, ...]) -> None:
    """Segmentation offload copies MP_CAPABLE to all packets of a first segment, and the third ACK was lost.

    What comes before the first byte has to come again.
    """
    text = OPENED.format(cookies=cookies, version=version).replace("0:1000(1000)", "0:0(0)")
    for number, start in enumerate(order):
        copy = "<mp_capable v1 flags[H] key[remote,local] len=2000>"
        text += f"+.01  < P. {start}:{start + 1000}(1000) ack 1 win 256 {copy}\n"
        if 1 in order[: number + 1]:
            text += f"+0    > . 1:1(0) ack {2001 if start == 1001 else 1001} <...>\n"
    text += f"{ACCEPTED}\n+0    read(4, ..., 5000) = 2000\n+0    %{{ assert connection.is_mptcp }}%\n"
    play(parse(text, "cut"))


@pytest.mark.parametrize("lost", [(2,), (3,), (2, 3)])
@pytest.mark.parametrize("old", [False, True])
def test_losses_of_the_first_segments_are_no_fallback(cookies: str, lost: tuple[int, ...], old: bool) -> None:
    """Third ACK, first data, or both; a client of version 0 does not say its key with data."""
    versions = {"mptcp_version": 0, "mptcp_minimum_version": 0} if old else {}
    run = make_scene(1, [PATH, PATH], syn_cookies=cookies, middlebox=losing(*lost), **versions)
    _, server = exchange(run, UPLOAD, DOWNLOAD)
    assert server.connection.is_mptcp


@pytest.mark.parametrize("lost", [(), (2,)])
def test_first_byte_of_version_0_without_a_mapping_is_tcp(cookies: str, lost: tuple[int, ...]) -> None:
    """RFC 6824 section 3.6: a first segment that only acknowledges says that the mapping does not get through."""

    def unmap(segment: Segment) -> bool:
        if segment.length and segment.dst == SERVER.ip and segment.options.dss is not None:
            segment.options.dss = Dss(0, False)
        return True

    loses, unmaps = losing(*lost), rewrite(unmap)
    run = make_scene(
        1, [PATH], syn_cookies=cookies, mptcp_version=0, mptcp_minimum_version=0,
        middlebox=lambda packet: [one for each in loses(packet) for one in unmaps(each)],
    )  # fmt: skip
    _, server = exchange(run, UPLOAD, DOWNLOAD)
    assert server.connection.is_plain
    assert server.connection.stack.counters["MPTcpExtMPFailTx"] == 0


# --- the end of data is all there is to say


def test_end_of_data_without_keys_is_tcp_when_asked_again() -> None:
    """The third ACK was lost, and Linux has no room for its key beside a DATA_FIN: the server may still speak.

    Its answer without a DSS shows Linux that it is TCP.
    """
    fin = "+.01  < . 1:1(0) ack 1 win 256 <dss fin dack8=1 dsn8=1 ssn=0 dll=1>"
    lines = (
        fin, "+.99  > S. 0:0(0) ack 1 <...>", fin, "+1.99 > S. 0:0(0) ack 1 <...>", fin,
        "+0    > . 1:1(0) ack 1", ACCEPTED, "+0    write(4, ..., 100) = 100", "+0    > P. 1:101(100) ack 1",
    )  # fmt: skip
    text = OPENED.format(cookies="off", version=4).replace("0:1000(1000)", "0:0(0)") + "\n".join(lines)
    play(parse(text, "fin"))


def test_client_that_only_listens_says_its_keys_again(cookies: str) -> None:
    run = make_scene(1, [PATH, PATH], syn_cookies=cookies, middlebox=losing(2, 3))
    _, server = exchange(run, b"", DOWNLOAD)
    assert server.connection.is_mptcp
