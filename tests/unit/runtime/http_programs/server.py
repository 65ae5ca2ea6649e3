"""An HTTP server of PyPI, uvicorn, over the stack: it keeps what is put and gives it back."""

import asyncio
from pathlib import Path

import uvicorn

from mptcp_stack.runtime import NetworkConfig, run

CERTIFICATE = Path(__file__).with_name("server.pem")
kept = b""


async def application(scope, receive, send):
    global kept
    if scope["method"] == "PUT":
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message["body"])
            more = message["more_body"]
        kept = b"".join(parts)
    body = kept if scope["method"] == "GET" else scope["client"][0].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def main():
    tls = {"ssl_certfile": str(CERTIFICATE)} if CERTIFICATE.exists() else {}
    config = uvicorn.Config(application, "0.0.0.0", 80, lifespan="off", log_level="warning", http="h11", **tls)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("listening", flush=True)
    await serving


run(
    main(), NetworkConfig(addresses=["10.0.1.102/24@server-eth1", "10.0.2.102/24@server-eth2"], scheduler="round-robin")
)
