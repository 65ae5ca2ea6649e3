"""A client with blocking sockets over MPTCP, and options of RFC 6897.

As root, in a lab of two hosts and two paths:

    sudo ./lab exec two-paths -- server python examples/asyncio_server.py '&' \
        -- client sleep 1 -- client python examples/blocking_client.py

It prints

    listening on ('0.0.0.0', 80)
    HTTP/1.0 200 OK 500000 bytes
    10.0.1.101 -> 10.0.1.102
    10.0.2.101 -> 10.0.2.102
"""

from socket import IPPROTO_TCP, TCP_NODELAY

from mptcp_stack.runtime import TCP_MULTIPATH_SCHEDULER, TCP_MULTIPATH_SUBFLOWS, NetworkConfig, SocketNetwork

config = NetworkConfig(addresses=["10.0.1.101/24@client-eth1", "10.0.2.101/24@client-eth2"])
with SocketNetwork(config) as network, network.socket() as connection:
    connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    connection.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_SCHEDULER, "round-robin")
    connection.settimeout(10)
    connection.connect(("10.0.1.102", 80))
    connection.sendall(b"GET /page HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as answer:
        status, length, _ = (answer.readline().decode().rstrip() for _ in range(3))
        print(status, len(answer.read(int(length.split()[-1]))), "bytes")
    for local, remote in sorted(connection.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_SUBFLOWS)):
        print(local[0], "->", remote[0])
