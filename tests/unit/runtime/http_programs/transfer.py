"""An HTTP client of PyPI, httpx, over the stack: a file there and back over two paths."""

import asyncio
import random
import ssl
from pathlib import Path

import httpx

from mptcp_stack.runtime import NetworkConfig, run
from mptcp_stack.runtime.network import mptcp_info

CERTIFICATE = Path(__file__).with_name("server.pem")
DATA = random.Random(1).randbytes(6_000_000)


async def main():
    tls = ssl.create_default_context(cafile=str(CERTIFICATE)) if CERTIFICATE.exists() else False
    url = f"{'https' if tls else 'http'}://10.0.1.102:80/file"
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=20) as client:
        put = await client.put(url, content=DATA)
        print(put.status_code, put.text)
        got = await client.get(url)
        print(got.status_code, got.content == DATA)
        (connection,) = asyncio.get_running_loop().network.stack.connections
        for subflow in sorted(mptcp_info(connection)["subflows"], key=lambda one: one["local"]):
            used = [subflow[name] > len(DATA) // 100 for name in ("bytes_sent", "bytes_received")]
            print(subflow["local"][0], "both ways" if all(used) else subflow)


run(
    main(), NetworkConfig(addresses=["10.0.1.101/24@client-eth1", "10.0.2.101/24@client-eth2"], scheduler="round-robin")
)
