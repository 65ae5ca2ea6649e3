"""TLS over blocking sockets of ours.

The standard library's `ssl.SSLSocket` hands its descriptor to OpenSSL, which would read and write the kernel's socket
behind it. `TlsSocket` does the same work in memory:

    context = ssl.create_default_context()
    context.sslsocket_class = TlsSocket  # what `wrap_socket` makes, also when urllib or http.client call it
    secure = context.wrap_socket(connection, server_hostname="example.org")
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO, Any, TypeVar

from .sockets import Socket, send_file
from .transports import Writable

Result = TypeVar("Result")
_RECORD_BYTES = 1 << 14


class TlsSocket:
    """The calls of `ssl.SSLSocket` over a `Socket`, which is its own from now on; a context manager.

    Calls raise what those of `Socket` do, and ssl.SSLError; without waiting (a timeout of 0) ssl.SSLWantReadError. What
    such a call could not send goes out with the next one. One thread may read while another one writes.
    """

    def __init__(
        self,
        sock: Socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
    ) -> None:
        self._sock = sock
        self._suppress_ragged_eofs = suppress_ragged_eofs
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname, session)
        self._tls_lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._unsent = b""
        self._closed = False
        self._io_refs = 0
        if do_handshake_on_connect:
            self.do_handshake()

    @classmethod
    def _create(cls, sock: Any, *, context: ssl.SSLContext, **settings: Any) -> TlsSocket:
        """What `SSLContext.wrap_socket` calls."""
        return cls(sock, context, **settings)

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """What says something about the session is `ssl.SSLObject`'s, what is left is the socket's."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._tls if hasattr(self._tls, name) else self._sock, name)

    def _run(self, step: Callable[[], Result]) -> Result:
        """Repeat a step of TLS, moving records, until it has what it needs."""
        while True:
            try:
                with self._tls_lock:
                    result = step()
            except ssl.SSLWantReadError as want:
                self._flush()
                self._hear(want)
                continue
            except ssl.SSLError:
                self._flush()  # the peer is told why
                raise
            self._flush()
            return result

    def _flush(self) -> None:
        if self._send_lock.locked() and not self._outgoing.pending:
            return  # a thread that writes does not keep one that reads
        with self._send_lock:
            self._unsent += self._outgoing.read()
            try:
                while self._unsent:
                    self._unsent = self._unsent[self._sock.send(self._unsent) :]
            except BlockingIOError:
                return

    def _hear(self, want: ssl.SSLWantReadError) -> None:
        try:
            data = self._sock.recv(_RECORD_BYTES)
        except BlockingIOError:
            raise want from None
        with self._tls_lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    # --- the calls

    def do_handshake(self) -> None:
        """Agree on keys. Raises ssl.SSLError."""
        self._run(self._tls.do_handshake)

    def send(self, data: Writable, flags: int = 0) -> int:
        """Send all of `data`; how many bytes."""
        view = memoryview(data).cast("B")
        sent = 0
        while sent < len(view):
            part = view[sent : sent + _RECORD_BYTES]
            sent += self._run(partial(self._tls.write, part))
        return sent

    def sendall(self, data: Writable, flags: int = 0) -> None:
        """See `send`."""
        self.send(data, flags)

    def sendmsg(self, buffers: Iterable[Writable]) -> int:
        """Send what the buffers hold together; how many bytes."""
        return self.send(b"".join(buffers))

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """See `Socket.sendfile`."""
        return send_file(self.sendall, file, offset, count)

    def recv(self, limit: int = 1024, flags: int = 0) -> bytes:
        """Up to `limit` bytes, at least one; none at the end of the peer's stream."""
        try:
            return self._run(lambda: self._tls.read(limit))
        except ssl.SSLEOFError:
            if self._suppress_ragged_eofs:
                return b""
            raise

    def recv_into(self, buffer: bytearray | memoryview, limit: int = 0, flags: int = 0) -> int:
        """Receive into `buffer`, up to `limit` bytes or its length (0); how many."""
        view = memoryview(buffer).cast("B")
        data = self.recv(limit or len(view))
        view[: len(data)] = data
        return len(data)

    read, write = recv, send

    def unwrap(self) -> Socket:
        """End TLS in order; the socket goes on without it."""
        self._run(self._tls.unwrap)
        return self._sock

    def shutdown(self, how: int) -> None:
        """End the stream below, as `ssl.SSLSocket` does; `unwrap` also tells the peer's TLS."""
        self._sock.shutdown(how)

    def makefile(self, mode: str = "r", buffering: int | None = None, **text: Any) -> io.IOBase:
        """See `socket.makefile`."""
        make: Callable[..., io.IOBase] = socket.socket.makefile
        return make(self, mode, buffering, **text)

    def close(self) -> None:
        """Close the socket, at once or with the last file of `makefile`. May be called again."""
        self._closed = True
        if self._io_refs <= 0:
            self._sock.close()

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closed:
            self.close()
