"""A server for asyncio over MPTCP: nothing in it knows of MPTCP but its last line.

It is for a host `server` with two paths. `asyncio_client.py`, `blocking_client.py` and `urllib_client.py` say how to
start it beside them. When it is ready it prints

    listening on ('0.0.0.0', 80)
"""

import asyncio

from mptcp_stack.runtime import NetworkConfig, run


async def answer(reader, writer):
    """Answer `GET PATH` with PATH, 100 000 times."""
    request = await reader.readuntil(b"\r\n\r\n")
    body = request.split()[1] * 100_000
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await writer.drain()
    writer.close()


async def main():
    """Serve until the program is ended."""
    server = await asyncio.start_server(answer, None, 80)
    print("listening on", *[one.getsockname() for one in server.sockets], flush=True)
    await server.serve_forever()


run(main(), NetworkConfig(addresses=["10.0.1.102/24@server-eth1", "10.0.2.102/24@server-eth2"]))
