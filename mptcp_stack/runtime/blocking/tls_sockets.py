"""TLS over blocking sockets of ours: the standard library's, which needs nothing of us but names, options and errors.

context = ssl.create_default_context()
context.sslsocket_class = TlsSocket  # what `wrap_socket` makes, also when urllib or http.client call it
secure = context.wrap_socket(connection, server_hostname="example.org")
"""

from __future__ import annotations

import ssl

from .sockets import Socket, telling


class TlsSocket(ssl.SSLSocket, Socket):  # type: ignore[misc]  # accept: a tuple's types
    """An `ssl.SSLSocket` over a `Socket`. A reset is an error also where TLS takes it for an end."""

    do_handshake = telling(ssl.SSLSocket.do_handshake)
    read = telling(ssl.SSLSocket.read)
    write = telling(ssl.SSLSocket.write)
    send = telling(ssl.SSLSocket.send, 1)
