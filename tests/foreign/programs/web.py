"""Clients and servers of HTTP. Each server answers GET /LENGTH with a body, and POST with the length of what came."""

import asyncio
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .place import MEGABYTE, Place, body, check, ready

LENGTH = 2 * MEGABYTE
REQUESTS = 5000


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An ASGI application."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    answer = str(length).encode() if scope["method"] == "POST" else body(int(scope["path"][1:]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


async def uvicorn(place: Place) -> None:
    """https://www.uvicorn.org"""
    from uvicorn import Config, Server

    tls: dict[str, Any] = {"ssl_certfile": place.certificate} if place.tls else {}
    server = Server(Config(application, place.host, place.port, log_level="warning", **tls))
    serving = asyncio.ensure_future(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    ready()
    await serving


async def hypercorn(place: Place) -> None:
    """https://hypercorn.readthedocs.io"""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{place.host}:{place.port}"]
    config.loglevel = "WARNING"
    if place.tls:
        config.certfile = config.keyfile = place.certificate
    asyncio.get_running_loop().call_later(0.5, ready)
    await serve(application, config, shutdown_trigger=asyncio.Event().wait)  # type: ignore[arg-type]


async def aiohttp_server(place: Place) -> None:
    """https://docs.aiohttp.org: the server."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.Response(text=str(len(await request.content.read())))
        return web.Response(body=body(int(request.path[1:])))

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, place.host, place.port, ssl_context=place.server_tls()).start()
    ready()
    await asyncio.Event().wait()


def threading_server(place: Place) -> None:
    """The standard library's `ThreadingHTTPServer`, HTTP/1.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def answer(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            if self.headers.get("Connection", "").lower() == "keep-alive":
                self.send_header("Connection", "keep-alive")  # for clients of HTTP/1.0
                self.close_connection = False
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer(body(int(self.path[1:])))

        def do_POST(self) -> None:
            self.answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 100

    with Server((place.host, place.port), Handler) as server:
        if context := place.server_tls():
            server.socket = context.wrap_socket(server.socket, server_side=True)
        ready()
        server.serve_forever()


async def httpx(place: Place) -> None:
    """https://www.python-httpx.org"""
    from httpx import AsyncClient

    async with AsyncClient(verify=place.client_tls() or True, trust_env=False, timeout=30) as client:
        answers = await asyncio.gather(*(client.get(place.url("http", f"/{LENGTH}")) for _ in range(5)))
        for answer in answers:
            check(answer.content, LENGTH)
        posted = await client.post(place.url("http", "/"), content=body(LENGTH))
        check_posted(posted.text)


async def aiohttp_client(place: Place) -> None:
    """https://docs.aiohttp.org: the client, which makes its own sockets."""
    from aiohttp import ClientSession, TCPConnector

    async with ClientSession(connector=TCPConnector(ssl=place.client_tls() or True)) as client:
        for _ in range(5):
            async with client.get(place.url("http", f"/{LENGTH}")) as answer:
                check(await answer.read(), LENGTH)
        async with client.post(place.url("http", "/"), data=body(LENGTH)) as posted:
            check_posted(await posted.text())


def requests(place: Place) -> None:
    """https://requests.readthedocs.io, from five threads."""
    from requests import Session

    problems: list[BaseException] = []

    def use() -> None:
        try:
            with Session() as client:
                client.trust_env = False
                client.verify = place.authority
                for _ in range(2):
                    check(client.get(place.url("http", f"/{LENGTH}"), timeout=30).content, LENGTH)
                check_posted(client.post(place.url("http", "/"), data=body(LENGTH), timeout=30).text)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def check_posted(answer: str) -> None:
    """Raise RuntimeError unless all of it arrived."""
    if answer != str(LENGTH):
        raise RuntimeError(f"{answer} of {LENGTH} bytes were posted")


def ab(place: Place) -> str:
    """Apache's `ab -k -c 50`."""
    if shutil.which("ab") is None:
        raise RuntimeError("ab is missing: apt-get install apache2-utils")
    command = ["ab", "-q", "-k", "-c", "50", "-n", str(REQUESTS), place.url("http", "/1000")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = dict(
        re.findall(r"^(Complete requests|Failed requests|Requests per second):\s+([\d.]+)", said, re.MULTILINE)
    )
    if found["Complete requests"] != str(REQUESTS) or found["Failed requests"] != "0":
        raise RuntimeError(f"ab: {found}")
    return f"{float(found['Requests per second']):.0f} requests/s"
