"""A client of the standard library, unchanged, over MPTCP: its connections are made by our network.

As root, in a lab of two hosts and two paths:

    sudo ./lab exec two-paths -- server python examples/asyncio_server.py '&' \
        -- client sleep 1 -- client python examples/urllib_client.py

It prints

    listening on ('0.0.0.0', 80)
    200 500000
"""

import socket
import urllib.request
from unittest import mock

from mptcp_stack.runtime import NetworkConfig, SocketNetwork

config = NetworkConfig(addresses=["10.0.1.101/24@client-eth1", "10.0.2.101/24@client-eth2"])
with (
    SocketNetwork(config) as network,
    mock.patch.object(socket, "create_connection", network.create_connection),
    urllib.request.urlopen("http://10.0.1.102/page", timeout=10) as answer,
):
    print(answer.status, len(answer.read()))
