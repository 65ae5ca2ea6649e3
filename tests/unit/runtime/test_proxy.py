"""The proxy: its client's side on the stack, its server's on loopback; and the messages of RFC 8803."""

import asyncio
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.runtime.proxy import Proxy, convert
from mptcp_stack.runtime.proxy.convert import ConvertError, Reason, Target

from .conftest import SERVER

LOOPBACK = "127.0.0.1"


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
        proxy = Proxy("convert")
        pair.serve_streams(proxy.handle)
        streams = await convert.open_connection((SERVER, 80), LOOPBACK, target.port)
        assert await ask(*streams, b"hello") == b"HELLO"
        server.close()

    pair.run(main())


def test_a_converter_says_that_the_server_refused(pair):
    async def main():
        server, target = await start_upper_caser()
        server.close()
        await server.wait_closed()
        proxy = Proxy("convert")
        pair.serve_streams(proxy.handle)
        reader, _ = await convert.open_connection((SERVER, 80), LOOPBACK, target.port)
        with pytest.raises(ConvertError) as caught:
            await reader.read()
        assert caught.value.reason is Reason.CONNECTION_RESET
        assert proxy.counters == {"connections": 1, "refused": 1}

    pair.run(main())


def test_who_does_not_speak_the_protocol_is_told(pair):
    async def main():
        pair.serve_streams(Proxy("convert").handle)
        answer = await ask(*await asyncio.open_connection(SERVER, 80), b"GET / HTTP/1.0\r\n\r\n")
        assert answer == convert.encode_error(Reason.MALFORMED_MESSAGE)

    pair.run(main())


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
        writer.transport.abort()
        assert isinstance(await lost, ConnectionResetError)
        assert proxy.counters["broken"] == 1
        server.close()

    pair.run(main())


@pytest.mark.parametrize(
    ("mode", "target"), [("forward", None), ("convert", Target(ip_address(LOOPBACK), 1)), ("x", None)]
)
def test_a_mode_and_its_target_belong_together(mode, target):
    with pytest.raises(ValueError, match="forward"):
        Proxy(mode, target)


# --- messages ------------------------------------------------------------------------------------------------


def test_a_connect_message_has_the_bytes_of_the_rfc():
    message = convert.encode_connect(Target(ip_address("192.0.2.1"), 443))
    assert message == bytes.fromhex("01062263 0a0501bb 00000000 00000000 0000ffff c0000201")
    assert convert.encode_success() == bytes.fromhex("01012263")
    assert convert.encode_error(Reason.DESTINATION_UNREACHABLE) == bytes.fromhex("01022263 1e016100")


@given(st.ip_addresses(), st.integers(0, 65535))
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
