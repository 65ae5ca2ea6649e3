"""Clients and servers of other protocols."""

import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .place import CHUNK_BYTES, MEGABYTE, Place, body, check, ready

MESSAGE_BYTES = 4 * MEGABYTE
FILE_BYTES = 10 * MEGABYTE
SSH_BYTES = 50 * MEGABYTE


# --- websockets


async def websockets_server(place: Place) -> None:
    """https://websockets.readthedocs.io: an echo."""
    from websockets.asyncio.server import serve

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, place.host, place.port, ssl=place.server_tls(), max_size=None):
        ready()
        await asyncio.Event().wait()


async def websockets_client(place: Place) -> None:
    """Large messages and a thousand small ones."""
    from websockets.asyncio.client import connect

    async with connect(place.url("ws"), ssl=place.client_tls(), max_size=None, proxy=None) as connection:
        for _ in range(3):
            await connection.send(body(MESSAGE_BYTES))
            check(await connection.recv(), MESSAGE_BYTES)  # type: ignore[arg-type]
        for number in range(1000):
            await connection.send(str(number))
        for number in range(1000):
            if await connection.recv() != str(number):
                raise RuntimeError(f"message {number} is another one")


# --- asyncssh


async def asyncssh_server(place: Place) -> None:
    """https://asyncssh.readthedocs.io: tells the hash of what it gets, then sends as much."""
    import asyncssh

    async def serve(process: Any) -> None:
        digest, length = hashlib.sha256(), 0
        while data := await process.stdin.read(CHUNK_BYTES):
            digest.update(data)
            length += len(data)
        process.stdout.write(digest.digest())
        sent = body(length)
        for start in range(0, length, CHUNK_BYTES):
            process.stdout.write(sent[start : start + CHUNK_BYTES])
            await process.stdout.drain()
        process.exit(0)

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    key = asyncssh.generate_private_key("ssh-ed25519")
    await asyncssh.listen(
        place.host, place.port, server_factory=Server, server_host_keys=[key], process_factory=serve, encoding=None
    )
    ready()
    await asyncio.Event().wait()


async def asyncssh_client(place: Place) -> None:
    """50 MB there, and back."""
    import asyncssh

    options: Any = {"known_hosts": None, "username": "user", "config": None, "client_keys": None}
    data = body(SSH_BYTES)
    async with asyncssh.connect(place.host, place.port, **options) as connection:
        process = await connection.create_process("", encoding=None)
        for start in range(0, len(data), CHUNK_BYTES):
            process.stdin.write(data[start : start + CHUNK_BYTES])
            await process.stdin.drain()
        process.stdin.write_eof()
        answer = await process.stdout.read()
    if answer[:32] != hashlib.sha256(data).digest():
        raise RuntimeError("other bytes arrived")
    check(answer[32:], SSH_BYTES)


# --- redis


def redis_server(place: Place) -> None:
    """Debian's redis-server, on the kernel's TCP."""
    if shutil.which("redis-server") is None:
        raise RuntimeError("redis-server is missing: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        port = ["--port", "0", "--tls-port", str(place.port)] if place.tls else ["--port", str(place.port)]
        files = ["--tls-cert-file", place.certificate, "--tls-key-file", place.certificate]
        files += ["--tls-ca-cert-file", place.authority, "--tls-auth-clients", "no"]
        command = [
            "redis-server",
            "--bind",
            place.host,
            *port,
            *(files if place.tls else []),
            "--save",
            "",
            "--protected-mode",
            "no",
        ]
        with subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL) as server:
            while server.poll() is None:
                try:
                    socket.create_connection((place.host, place.port)).close()
                    break
                except OSError:
                    os.sched_yield()
            ready()


def redis_arguments(place: Place) -> dict[str, Any]:
    """What both kinds of clients are made with."""
    tls = {"ssl": True, "ssl_ca_certs": place.authority} if place.tls else {}
    return {"host": place.host, "port": place.port, **tls}


async def redis_asyncio(place: Place) -> None:
    """redis-py's asyncio client: large values, pipelines, publish and subscribe."""
    from redis.asyncio import Redis

    async with Redis(**redis_arguments(place)) as client, client.pubsub() as subscribed:
        await client.set("large", body(FILE_BYTES))
        check(await client.get("large"), FILE_BYTES)
        async with client.pipeline() as pipeline:
            for _ in range(1000):
                pipeline.incr("count")
            if (await pipeline.execute())[-1] != 1000:
                raise RuntimeError("not all were counted")
        await subscribed.subscribe("news")
        await client.publish("news", "it works")
        async for message in subscribed.listen():
            if message["type"] == "message":
                break
        await client.flushall()


def redis_blocking(place: Place) -> None:
    """redis-py's blocking client."""
    from redis import Redis

    with Redis(**redis_arguments(place)) as client:
        client.set("large", body(FILE_BYTES))
        check(client.get("large"), FILE_BYTES)  # type: ignore[arg-type]
        with client.pipeline() as pipeline:
            for _ in range(1000):
                pipeline.incr("count")
            if pipeline.execute()[-1] != 1000:
                raise RuntimeError("not all were counted")
        client.flushall()


# --- grpclib


class Bytes:
    """A codec: messages as they are."""

    __content_subtype__ = "bytes"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


async def grpclib_server(place: Place) -> None:
    """https://grpclib.readthedocs.io: an echo of streams."""
    from grpclib.const import Cardinality, Handler
    from grpclib.server import Server

    class Echo:
        async def echo(self, stream: Any) -> None:
            async for message in stream:
                await stream.send_message(message)

        def __mapping__(self) -> dict[str, Handler]:
            return {"/test.Echo/Echo": Handler(self.echo, Cardinality.STREAM_STREAM, bytes, bytes)}

    server = Server([Echo()], codec=Bytes())  # type: ignore[list-item,arg-type]
    await server.start(place.host, place.port, ssl=place.server_tls())
    ready()
    await server.wait_closed()


async def grpclib_client(place: Place) -> None:
    """Five streams at once."""
    from grpclib.client import Channel, StreamStreamMethod

    async def use(channel: Any) -> None:
        method: Any = StreamStreamMethod(channel, "/test.Echo/Echo", bytes, bytes)
        async with method.open() as stream:
            for _ in range(3):
                await stream.send_message(body(MEGABYTE))
                check(await stream.recv_message(), MEGABYTE)
            await stream.end()

    async with Channel(place.host, place.port, ssl=place.client_tls(), codec=Bytes()) as channel:  # type: ignore[arg-type]
        await asyncio.gather(*(use(channel) for _ in range(5)))


# --- aioftp


async def aioftp_server(place: Place) -> None:
    """https://aioftp.readthedocs.io"""
    import aioftp

    with tempfile.TemporaryDirectory() as folder:
        user = aioftp.User(base_path=folder)
        server = aioftp.Server([user], ssl=place.server_tls())
        await server.start(place.host, place.port)
        ready()
        await server.serve_forever()


async def aioftp_client(place: Place) -> None:
    """A file there, a list, and the file back: a connection for each."""
    import aioftp

    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder) / "file", Path(folder) / "back"
        there.write_bytes(body(FILE_BYTES))
        async with aioftp.Client.context(place.host, place.port, ssl=place.client_tls()) as client:
            await client.upload(there, "file", write_into=True)
            if [str(path) for path, _ in await client.list()] != ["file"]:
                raise RuntimeError("the file is not listed")
            await client.download("file", back, write_into=True)
        check(back.read_bytes(), FILE_BYTES)
