"""A client for asyncio over MPTCP: three requests, each with other settings of its connection.

As root, in a lab of two hosts and two paths, beside `asyncio_server.py`:

    sudo ./lab exec two-paths -- server python examples/asyncio_server.py '&' \
        -- client sleep 1 -- client python examples/asyncio_client.py

prints of each answer its length, the protocol and the congestion control:

    listening on ('0.0.0.0', 80)
    HTTP/1.0 200 OK 500000 MPTCP lia
    HTTP/1.0 200 OK 500000 MPTCP cubic
    HTTP/1.0 200 OK 500000 TCP lia
"""

import asyncio
from socket import IPPROTO_TCP, TCP_CONGESTION

from mptcp_stack.runtime import NetworkConfig, connection_settings, run


async def fetch(path):
    """Ask the server for a path."""
    reader, writer = await asyncio.open_connection("10.0.1.102", 80)
    writer.write(b"GET %s HTTP/1.0\r\n\r\n" % path)
    header = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(header.split()[-1]))
    info = writer.get_extra_info("mptcp")
    control = writer.get_extra_info("socket").getsockopt(IPPROTO_TCP, TCP_CONGESTION)
    print(header.split(b"\r\n")[0].decode(), len(body), "MPTCP" if info["is_mptcp"] else "TCP", control)
    writer.close()
    await writer.wait_closed()


async def main():
    """Ask three times."""
    await fetch(b"/page")
    with connection_settings(congestion="cubic", scheduler="round-robin"):
        await fetch(b"/page")
    with connection_settings(mptcp=False):
        await fetch(b"/page")


run(main(), NetworkConfig(addresses=["10.0.1.101/24@client-eth1", "10.0.2.101/24@client-eth2"]))
