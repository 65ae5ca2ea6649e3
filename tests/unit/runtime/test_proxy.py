"""The proxy: its client's side on the stack, its server's on loopback; and the messages of RFC 8803."""

import asyncio
import errno
import socket
import subprocess
import sys
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.runtime.proxy import Proxy, convert
from mptcp_stack.runtime.proxy.convert import ConvertError, Reason, Target
from mptcp_stack.runtime.proxy.destinations import Destinations
from mptcp_stack.runtime.proxy.relay import reset

from .conftest import CLIENT, SERVER

LOOPBACK = "127.0.0.1"
ELSEWHERE = "192.0.2.7"
"""An address that clients ask for; `Elsewhere` has it on loopback."""


class Elsewhere(Proxy):
    """Its kernel reaches what clients ask for: on loopback, at the same port."""

    async def _connect(self, target):
        return await super()._connect(Target(ip_address(LOOPBACK), target.port))


class Answer(NamedTuple):
    """What a converter answered, up to its end."""

    reason: Reason | None
    value: bytes


async def ask_converter(message: bytes) -> Answer:
    reader, writer = await asyncio.open_connection(SERVER, 80)
    writer.write(message)
    answer = await reader.read()
    writer.close()
    try:
        convert.check_answer(answer)
    except ConvertError as error:
        return Answer(error.reason, error.value)
    return Answer(None, answer)


def connect_message(host: str, port: int = 80) -> bytes:
    """As it is written, also what `encode_connect` would not."""
    ip = ip_address(host)
    packed = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    return bytes.fromhex("01062263 0a05") + port.to_bytes(2, "big") + packed


async def start_upper_caser() -> tuple[asyncio.Server, Target]:
    """A server of the kernel's: answers what it was sent, in capitals, once it has all of it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data.upper())
        writer.close()

    server = await asyncio.get_running_loop().create_server(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), answer), LOOPBACK, 0
    )
    return server, Target(ip_address(LOOPBACK), server.sockets[0].getsockname()[1])


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def test_a_forwarding_proxy_passes_data_and_both_ends_on(pair):
    async def main():
        server, target = await start_upper_caser()
        proxy = Proxy("forward", target)
        pair.serve_streams(proxy.handle)
        data = b"mptcp" * 100_000
        assert await ask(*await asyncio.open_connection(SERVER, 80), data) == data.upper()
        assert proxy.counters == {"connections": 1, "bytes_up": len(data), "bytes_down": len(data)}
        server.close()

    pair.run(main())


def test_a_converter_connects_to_where_its_client_says(pair):
    async def main():
        server, target = await start_upper_caser()
        proxy = Elsewhere("convert")
        pair.serve_streams(proxy.handle)
        streams = await convert.open_connection((SERVER, 80), ELSEWHERE, target.port)
        assert await ask(*streams, b"hello") == b"HELLO"
        server.close()

    pair.run(main())


def test_a_converter_says_that_the_server_refused(pair):
    async def main():
        server, target = await start_upper_caser()
        server.close()
        await server.wait_closed()
        proxy = Elsewhere("convert")
        pair.serve_streams(proxy.handle)
        reader, _ = await convert.open_connection((SERVER, 80), ELSEWHERE, target.port)
        with pytest.raises(ConvertError) as caught:
            await reader.read()
        assert caught.value.reason is Reason.CONNECTION_RESET
        assert proxy.counters == {"connections": 1, "refused": 1}

    pair.run(main())


def test_who_does_not_speak_the_protocol_is_told(pair):
    async def main():
        pair.serve_streams(Proxy("convert").handle)
        answer = await ask(*await asyncio.open_connection(SERVER, 80), b"GET / HTTP/1.0\r\n\r\n")
        assert answer == convert.encode_error(Reason.MALFORMED_MESSAGE, b"\0GET ")

    pair.run(main())


# --- where to, and for how long ------------------------------------------------------------------------------

# IPv4 addresses within IPv6 ones: 6to4, NAT64 (everywhere, in a network), translated, compatible, Teredo (inverted).
FORMS = ("2002:{}::1", "64:ff9b::{}", "64:ff9b:1::{}", "::ffff:0:{}", "::{}", "2001:0:1:2:3:4:{}")


def odd(form: str, host: str) -> str:
    number = int(ip_address(host)) ^ (0xFFFFFFFF if form.startswith("2001:") else 0)
    return form.format(f"{number >> 16:x}:{number & 0xFFFF:x}")


MALFORMED, FORBIDDEN = Reason.MALFORMED_MESSAGE, Reason.NOT_AUTHORIZED
NOWHERE = {
    LOOPBACK: MALFORMED, "127.9.9.9": MALFORMED, "::1": MALFORMED, "::ffff:127.0.0.1": MALFORMED,
    "0.0.0.0": MALFORMED, "0.1.2.3": MALFORMED, "::": MALFORMED, "::ffff:0.0.0.0": MALFORMED,
    "224.0.0.1": MALFORMED, "239.255.255.250": MALFORMED, "ff02::1": MALFORMED, "255.255.255.255": MALFORMED,
    "169.254.169.254": FORBIDDEN, "fe80::1": FORBIDDEN, "::ffff:169.254.169.254": FORBIDDEN, "240.0.0.1": FORBIDDEN,
    SERVER: FORBIDDEN, CLIENT: FORBIDDEN,  # of the stack that was reached, and of the loop's own
    **{odd(form, LOOPBACK): MALFORMED for form in FORMS},
    **{odd(form, "169.254.169.254"): FORBIDDEN for form in FORMS},
    **{odd(form, SERVER): FORBIDDEN for form in FORMS},
}  # fmt: skip


@pytest.mark.parametrize(("host", "reason"), NOWHERE.items())
def test_a_converter_takes_nobody_where_no_other_host_is(pair, host, reason):
    async def main():
        proxy = Elsewhere("convert", allowed=[ip_network("0.0.0.0/0"), ip_network("::/0")])
        pair.serve_streams(proxy.handle)
        message = connect_message(host)
        echo = b"\0" + message if reason is MALFORMED else bytes(1)
        assert await ask_converter(message) == (reason, echo)
        assert proxy.counters == {"connections": 1, "refused": 1}

    pair.run(main())


@pytest.mark.parametrize("host", [ELSEWHERE, "2001:db8::1", *(odd(form, ELSEWHERE) for form in FORMS)])
def test_other_hosts_are_judged_by_the_list_alone(host):
    ip = ip_address(host)
    assert Destinations().refusal(ip) is None
    assert Destinations([ip_network(ip)]).refusal(ip) is None
    assert Destinations([ip_network("198.51.100.0/24")]).refusal(ip) is FORBIDDEN


@pytest.mark.root
def test_the_kernel_is_asked_for_its_own_addresses_and_broadcast():
    code = (
        "from ipaddress import ip_address as ip; from mptcp_stack.runtime.proxy.destinations import Destinations;"
        "print([getattr(Destinations().refusal(ip(one)), 'name', None) for one in"
        " ('10.0.0.1', '10.0.0.255', '10.0.0.2', 'fd00::1', 'fd00::2', '10.9.9.9', '64:ff9b::a00:1', '192.0.2.7')])"
    )
    commands = (
        "ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&"
        " ip addr add 10.0.0.1/24 dev v0 && ip addr add fd00::1/64 dev v0 nodad &&"
        f' ip route add local 10.9.9.0/24 dev lo && exec {sys.executable} -c "{code}"'
    )
    told = subprocess.run(["unshare", "--net", "sh", "-c", commands], capture_output=True, text=True, check=True)
    own, broadcast = "'NOT_AUTHORIZED'", "'MALFORMED_MESSAGE'"
    assert told.stdout.strip() == f"[{own}, {broadcast}, None, {own}, None, {own}, {own}, None]"


@pytest.mark.parametrize(
    ("host", "reason"), [(ELSEWHERE, None), ("198.51.100.1", FORBIDDEN), ("2001:db8::1", FORBIDDEN)]
)
def test_a_list_of_networks_narrows_where_a_converter_connects_to(pair, host, reason):
    async def main():
        server, target = await start_upper_caser()
        pair.serve_streams(Elsewhere("convert", allowed=[ip_network("192.0.2.0/24")]).handle)
        reader, writer = await convert.open_connection((SERVER, 80), host, target.port)
        if reason is None:
            assert await ask(reader, writer, b"hello") == b"HELLO"
        else:
            with pytest.raises(ConvertError) as caught:
                await reader.read()
            assert caught.value.reason is reason
        server.close()

    pair.run(main())


def test_a_client_with_much_to_say_hears_why_it_was_refused(pair):
    async def main():
        pair.serve_streams(Proxy("convert").handle)
        answer = await ask_converter(connect_message("127.0.0.1") + bytes(1_000_000))
        assert answer.reason is MALFORMED

    pair.run(main())


@pytest.mark.parametrize(("address", "taken"), [("10.0.0.3", True), ("10.0.0.200", False), (SERVER, False)])
def test_a_transparent_proxy_looks_where_its_clients_want_to(make_pair, monkeypatch, address, taken):
    """Neither beyond the list nor to an address of its own stack, which would come back to it."""
    pair = make_pair(transparent=True)

    async def main():
        server, target = await start_upper_caser()
        monkeypatch.setattr(pair.loop, "network", pair.remote)
        proxy = Elsewhere("transparent", allowed=[ip_network("10.0.0.0/25")])
        pair.serve_streams(proxy.handle, target.port)
        streams = await asyncio.open_connection(address, target.port)
        if taken:
            assert await ask(*streams, b"hello") == b"HELLO"
        else:
            with pytest.raises(ConnectionResetError):
                await streams[0].read()
            assert proxy.counters == {"connections": 1, "refused": 1}
        server.close()

    pair.run(main())


def test_a_forwarding_proxy_does_not_forward_to_itself(pair):
    async def main():
        proxy = Proxy("forward", Target(ip_address(SERVER), 80))
        pair.serve_streams(proxy.handle)
        reader, _ = await asyncio.open_connection(SERVER, 80)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert proxy.counters == {"connections": 1, "refused": 1}

    pair.run(main())


@pytest.mark.parametrize("said", [b"", b"\x01", bytes.fromhex("01062263 0a05")])
def test_a_client_that_does_not_say_where_to_is_reset_in_time(pair, said):
    async def main():
        proxy = Proxy("convert", connect_timeout_s=0.05)
        pair.serve_streams(proxy.handle)
        reader, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(said)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert proxy.counters == {"connections": 1, "refused": 1}

    pair.run(main())


@pytest.mark.parametrize("limits", [{"most_waiting": 3}, {"most_waiting_of_a_client": 3}])
def test_clients_that_wait_are_bounded(pair, limits):
    async def main():
        server, target = await start_upper_caser()
        pair.serve_streams(Elsewhere("convert", connect_timeout_s=0.2, **limits).handle)
        silent = [await asyncio.open_connection(SERVER, 80) for _ in range(3)]
        answer = await ask_converter(convert.encode_connect(Target(ip_address(ELSEWHERE), target.port)))
        assert answer == (Reason.RESOURCE_EXCEEDED, bytes(1))
        for reader, _ in silent:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        streams = await convert.open_connection((SERVER, 80), ELSEWHERE, target.port)
        assert await ask(*streams, b"again") == b"AGAIN"
        server.close()

    pair.run(main())


@pytest.mark.parametrize(
    ("number", "version", "reason", "value"),
    [
        (errno.ECONNREFUSED, 4, Reason.CONNECTION_RESET, 0),
        (errno.EHOSTUNREACH, 4, Reason.DESTINATION_UNREACHABLE, 1),
        (errno.EHOSTUNREACH, 6, Reason.DESTINATION_UNREACHABLE, 3),
        (errno.ENETUNREACH, 6, Reason.DESTINATION_UNREACHABLE, 0),
        (errno.EMFILE, 4, Reason.RESOURCE_EXCEEDED, 0),
        (errno.EADDRNOTAVAIL, 4, Reason.RESOURCE_EXCEEDED, 0),
        (errno.EACCES, 4, Reason.NOT_AUTHORIZED, 0),
        (errno.ETIMEDOUT, 4, Reason.NETWORK_FAILURE, 0),
    ],
)
def test_what_the_kernel_says_has_its_code(pair, monkeypatch, number, version, reason, value):
    async def fail(*_):
        raise OSError(number, "as told")

    async def main():
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail)
        pair.serve_streams(Proxy("convert").handle)
        answer = await ask_converter(connect_message(ELSEWHERE if version == 4 else "2001:db8::1"))
        assert answer == (reason, bytes((value,)))

    pair.run(main())


def test_a_server_that_does_not_answer_is_a_failure_of_the_network(pair, monkeypatch):
    async def hang(*_):
        await asyncio.sleep(60)

    async def main():
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", hang)
        pair.serve_streams(Proxy("convert", connect_timeout_s=0.05).handle)
        assert (await ask_converter(connect_message(ELSEWHERE))).reason is Reason.NETWORK_FAILURE

    pair.run(main())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_loop_of_the_kernel_knows_its_own_addresses(family):
    """Over kernel sockets the proxy is its own host: what it listens on is not relayed to."""
    host = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}[family]

    async def main():
        proxy = Proxy("transparent")
        server = await asyncio.start_server(proxy.handle, host, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        server.close()
        assert proxy.counters == {"connections": 1, "refused": 1}

    asyncio.run(main())


def test_a_server_that_is_not_there_resets_the_client_of_a_forwarding_proxy(pair):
    async def main():
        server, target = await start_upper_caser()
        server.close()
        await server.wait_closed()
        pair.serve_streams(Proxy("forward", target).handle)
        reader, _ = await asyncio.open_connection(SERVER, 80)
        with pytest.raises(ConnectionResetError):
            await reader.read()

    pair.run(main())


def test_a_client_that_vanishes_takes_the_server_side_along(pair):
    async def main():
        lost = asyncio.get_running_loop().create_future()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            except ConnectionResetError as error:
                lost.set_result(error)

        server = await asyncio.get_running_loop().create_server(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), wait), LOOPBACK, 0
        )
        proxy = Proxy("forward", Target(ip_address(LOOPBACK), server.sockets[0].getsockname()[1]))
        pair.serve_streams(proxy.handle)
        _, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(b"x")
        while not proxy.counters["bytes_up"]:
            await asyncio.sleep(0)
        reset(writer)
        assert isinstance(await lost, ConnectionResetError)
        assert proxy.counters["broken"] == 1
        server.close()

    pair.run(main())


@pytest.mark.parametrize(
    ("mode", "target", "allowed"),
    [
        ("forward", None, ()),
        ("convert", Target(ip_address(LOOPBACK), 1), ()),
        ("x", None, ()),
        ("forward", Target(ip_address(LOOPBACK), 1), [ip_network("192.0.2.0/24")]),
    ],
)
def test_a_mode_and_its_target_belong_together(mode, target, allowed):
    with pytest.raises(ValueError, match="forward"):
        Proxy(mode, target, allowed=allowed)


# --- messages ------------------------------------------------------------------------------------------------


def test_a_connect_message_has_the_bytes_of_the_rfc():
    message = convert.encode_connect(Target(ip_address("192.0.2.1"), 443))
    assert message == bytes.fromhex("01062263 0a0501bb 00000000 00000000 0000ffff c0000201")
    assert convert.encode_success() == bytes.fromhex("01012263")
    assert convert.encode_error(Reason.DESTINATION_UNREACHABLE) == bytes.fromhex("01022263 1e016100")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("01022263 01010000", "01042263 1e030200 01022263 01010000"),  # without a Connect TLV
        ("02012263", "01022263 1e010001"),  # version 2
        ("00012263", "01022263 1e010001"),  # version 0
        ("01012264", "01032263 1e020100 01012264"),  # another magic number
        ("01022263 0a010050", "01042263 1e030100 01022263 0a010050"),  # a Connect TLV without its address
        ("01022263 0a020050", "01042263 1e030100 01022263 0a020050"),  # a TLV longer than the message
        ("01062263 0a050000 00000000 00000000 0000ffff c0000207",
         "01082263 1e070100 01062263 0a050000 00000000 00000000 0000ffff c0000207"),  # port 0
        # options 30 and 34
        ("01072263 0a060050 00000000 00000000 0000ffff c0000207 1e022202", "01032263 1e02211e 22000000"),
    ],
)  # fmt: skip
def test_each_wrong_message_has_the_answer_of_the_rfc(pair, message, answer):
    async def main():
        pair.serve_streams(Elsewhere("convert").handle)
        reader, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(bytes.fromhex(message))
        assert await reader.read() == bytes.fromhex(answer)
        writer.close()

    pair.run(main())


def test_a_message_without_a_length_is_reset(pair):
    async def main():
        pair.serve_streams(Proxy("convert").handle)
        reader, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(bytes.fromhex("01002263"))
        with pytest.raises(ConnectionResetError):
            await reader.read()

    pair.run(main())


def test_the_longest_message_is_sent_back_as_far_as_it_fits():
    echoed = convert.encode_error(Reason.MALFORMED_MESSAGE, bytes(1) + bytes(range(255)) * 4)
    assert len(echoed) == 1020
    assert convert.message_bytes(echoed[:4]) == 1020


def test_options_of_the_handshake_are_left_to_the_kernel():
    """Window scale and SACK blocks mean nothing to the server's connection (RFC 8803 sections 7.2 and 7.3)."""
    message = bytes.fromhex("01072263 0a060050 00000000 00000000 0000ffff c0000207 03030700")
    assert convert.decode_connect(message) == Target(ip_address(ELSEWHERE), 80)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_what_is_encoded_is_decoded(ip, port):
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    message = convert.encode_connect(Target(ip, port))
    assert convert.message_bytes(message[:4]) == len(message)
    assert convert.decode_connect(message) == Target(ip, port)


@given(st.binary(max_size=60))
def test_malformed_messages_are_refused_with_a_reason(data):
    message = bytes.fromhex("01ff2263") + data
    try:
        convert.decode_connect(message)
        convert.check_answer(message)
    except ConvertError:
        pass
