"""The exchange over loopback: both ends tell what arrived, whatever becomes of it."""

import asyncio
import hashlib
import signal

import pytest

from testbed.loadgen import content
from testbed.loadgen.exchange import Order, Server, exchange
from testbed.loadgen.options import Endpoint

HOST = "127.0.0.1"
SIZE = 300_000


async def exchanged(relay=None, **limits):
    """The client's account and the server's, through what `relay` does to each chunk of either direction."""
    served = Server()
    server = await asyncio.start_server(served.answer, HOST, 0)
    between = None
    place = server.sockets[0].getsockname()[:2]
    if relay is not None:
        behind = place
        between = await asyncio.start_server(lambda *streams: _relay(streams, behind, relay), HOST, 0)
        place = between.sockets[0].getsockname()[:2]
    limits = {"pause_s": 0.01, "time_limit_s": 10.0, **limits}
    client = await exchange(Endpoint(*place), Order(SIZE, 2), **limits)
    for listening in (server, between):
        if listening is not None:
            listening.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    return client, [stream.account() for stream in served.streams]


async def _relay(streams, place, change):
    reader, writer = streams
    onward, back = await asyncio.open_connection(*place)

    async def pump(source, sink, name):
        while data := await source.read(65536):
            changed = change(name, data)
            if changed is None:
                sink.transport.abort()
                return
            sink.write(changed)
        sink.write_eof()

    await asyncio.gather(pump(reader, back, "up"), pump(onward, writer, "down"))


def test_both_ends_get_what_the_other_sent():
    client, (server,) = asyncio.run(exchanged())
    digest = hashlib.sha256(content.prefix(2 * SIZE)).hexdigest()
    for account in (client, server):
        assert account["failure"] is None
        assert account["content_ok"]
        assert account["sent_bytes"] == account["received_bytes"] == 2 * SIZE
        assert account["sent_sha256"] == account["received_sha256"] == digest


@pytest.mark.parametrize(("way", "blamed"), [("up", "server"), ("down", "client")])
def test_the_end_that_got_other_bytes_says_so(way, blamed):
    def change(name, data):
        return data[:-1] + bytes([data[-1] ^ 1]) if name == way and len(data) > 1000 else data

    client, (server,) = asyncio.run(exchanged(change))
    accounts = {"client": client, "server": server}
    assert [name for name, account in accounts.items() if not account["content_ok"]] == [blamed]
    assert accounts[blamed]["failure"] == "content"


def test_an_end_in_the_middle_is_a_failure():
    client, (server,) = asyncio.run(exchanged(lambda name, data: None if name == "down" else data))
    assert client["failure"] in ("reset", "short")
    assert server["content_ok"]


def test_silence_ends_at_the_time_limit():
    client, _ = asyncio.run(exchanged(lambda name, data: b"" if name == "down" else data, time_limit_s=0.3))
    assert client["failure"] == "timeout"


def test_nobody_there():
    client = asyncio.run(exchange(Endpoint(HOST, 1), Order(10, 1), 0.1, 5.0))
    assert (client["failure"], client["received_bytes"]) == ("unreachable", 0)


def test_the_server_ends_when_told():
    async def serve():
        asyncio.get_running_loop().call_later(0.05, signal.raise_signal, signal.SIGTERM)
        return await Server().serve(Endpoint(HOST, 0))

    assert asyncio.run(serve())["exchanges"] == []
