"""asyncio's stream transport over a connection of the stack."""

from __future__ import annotations

import asyncio
import asyncio.transports  # mypyc looks for a base in its own module
import contextvars
import logging
from asyncio import constants
from collections import deque
from typing import Any, Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.runtime.network import mptcp_info, socket_address
from mptcp_stack.runtime.socket_options.options import SocketOptions

from .transport_socket import TransportSocket

logger = logging.getLogger("asyncio")

READ_BYTES: Final = 256 * 1024
"""One `Protocol.data_received` gets this much at the most, as with asyncio's own transports."""
_LOG_WRITES_AFTER_END: Final = 5
"""From so many on asyncio's own transports complain, too (LOG_THRESHOLD_FOR_CONNLOST_WRITES)."""

Writable = bytes | bytearray | memoryview


@mypyc_attr(native_class=False)  # the base is Python's
class StreamTransport(asyncio.transports._FlowControlMixin):
    """A connection as an asyncio transport; its semantics are those of asyncio's transport for TCP sockets.

    `write` keeps bytes and views of bytes without copying them, and copies what could change. Reading copies once:
    into a bytes object, or into the buffer of a `BufferedProtocol`. While reading is paused nothing is taken from the
    connection, so that the receive window closes.

    `get_extra_info` knows "peername", "sockname", "socket" (a `TransportSocket`), "mptcp" (see `mptcp_info`) and
    "connection" (the stack's own).
    """

    # What asyncio asks of a transport for `loop.start_tls` and `loop.sendfile`.
    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: SocketOptions,
        protocol: asyncio.BaseProtocol,
    ) -> None:
        connection = options.connected()
        self._names = {"peername": socket_address(connection.remote), "sockname": socket_address(connection.local)}
        self._socket = TransportSocket(options)
        super().__init__({**self._names, "socket": self._socket}, loop)
        self._asyncio_loop = loop
        self._options = options
        self._driver = options.driver
        self._connection = connection
        connection.nodelay = True  # as asyncio does with TCP sockets
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._reading = False
        self._paused = False
        self._eof_received = False
        self._eof_written = False
        self._closing = False
        self._writes_after_end = 0
        self._lost = False
        self.set_protocol(protocol)
        self._driver.attach(connection, self)

    def __repr__(self) -> str:
        state = "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} {self._names['sockname']} -> {self._names['peername']}>"

    def begin(self) -> None:
        """Call `connection_made`; follow with `start_reading`. An exception is reported and no more, as in asyncio.

        Context variables that it sets are its own, as in asyncio.
        """
        try:
            contextvars.copy_context().run(self._protocol.connection_made, self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report(error, "connection_made")

    def start_reading(self) -> None:
        """Deliver what has arrived, and everything from now on."""
        self._reading = True
        self._read()

    # --- asyncio.BaseTransport

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "mptcp":
            return mptcp_info(self._connection)
        if name == "connection":
            return self._connection
        return super().get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set a new protocol."""
        self._protocol: Any = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the current protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Whether the transport is closing or closed."""
        return self._closing

    def close(self) -> None:
        """Stop reading, send what was written, then close; `connection_lost(None)` follows.

        While data wait for room more can be written, as with asyncio's own transports: TLS says its farewell so.
        """
        if self._closing:
            return
        self._closing = True
        if not self._waiting:
            self._finish()

    # --- reading

    def is_reading(self) -> bool:
        """Whether data is being delivered to the protocol."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`; the receive window fills up and closes."""
        if not self._closing:
            self._paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._closing or not self._paused:
            return
        self._paused = False
        self._asyncio_loop.call_soon(self._read)

    def _read(self) -> None:
        connection = self._connection
        while self._reading and not self._paused and not self._closing and connection.receive_ready:
            if not (self._fill_buffer() if self._buffered else self._give_bytes()):
                return
            # The window opens again.
            self._driver.wake()
        if connection.eof and self._reading and not self._paused:
            self._read_eof()
        self._socket.update()

    def _give_bytes(self) -> bool:
        data = b"".join(self._connection.receive(READ_BYTES))
        try:
            self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "data_received")
            return False
        return True

    def _fill_buffer(self) -> bool:
        try:
            buffer = memoryview(self._protocol.get_buffer(-1)).cast("B")
            if not buffer:
                raise RuntimeError("get_buffer() returned an empty buffer")
            filled = 0
            for chunk in self._connection.receive(len(buffer)):
                end = filled + len(chunk)
                buffer[filled:end] = chunk
                filled = end
            self._protocol.buffer_updated(filled)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "get_buffer() or buffer_updated")
            return False
        return True

    def _read_eof(self) -> None:
        if self._eof_received or self._closing:
            return
        self._eof_received = True
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "eof_received")
            return
        if not keep_open:
            self.close()

    # --- writing

    def get_write_buffer_size(self) -> int:
        """Bytes that the connection's send buffer had no room for."""
        return self._waiting_bytes

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Writable) -> None:
        """Send `data`, now or when there is room. What can change is copied. Never blocks."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        if self._lost:
            self._count_write_after_end()
            return
        view = unchanging(data)
        if not self._waiting:
            sent = self._send(view)
            if sent == len(view):
                return
            view = view[sent:]
        self._waiting.append(view)
        self._waiting_bytes += len(view)
        self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def writelines(self, list_of_data: Any) -> None:
        """`write` each of the items; they leave together."""
        for data in list_of_data:
            self.write(data)

    def write_eof(self) -> None:
        """End our stream after what was written; reading goes on."""
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        if not self._waiting:
            self._shut_down()

    def _send(self, view: memoryview) -> int:
        """How much the connection took; all of it when the connection has failed, which is then `_lost`."""
        try:
            sent = self._connection.send(view)
        except OSError as error:
            self._force_close(error)
            return len(view)
        self._driver.wake()
        return sent

    def _shut_down(self) -> None:
        self._connection.shutdown()
        self._driver.wake()

    def _count_write_after_end(self) -> None:
        self._writes_after_end += 1
        if self._writes_after_end >= _LOG_WRITES_AFTER_END:
            logger.warning("%r: written to after its end", self)

    # --- what the driver reports

    def on_connected(self) -> None:
        """Never: a transport is made only for connections that are established."""

    def on_readable(self) -> None:
        """Hand on what has arrived."""
        self._read()

    def on_writable(self) -> None:
        """Send what waits, as far as there is room."""
        waiting = self._waiting
        while waiting:
            view = waiting[0]
            sent = self._send(view)
            if self._lost:
                return
            self._waiting_bytes -= sent
            if sent < len(view):
                waiting[0] = view[sent:]
                break
            waiting.popleft()
        self._maybe_resume_protocol()  # type: ignore[attr-defined]
        if waiting or self._lost:
            return
        if self._closing:
            self._let_go()
            self._connection_lost(None)  # at once, as asyncio's own transports
        elif self._eof_written:
            self._shut_down()

    def on_closed(self, error: OSError | None) -> None:
        """Deliver what has arrived; after an orderly end the application closes."""
        self._read()
        if error is not None:
            self._force_close(error)

    # --- the end

    def abort(self) -> None:
        """Close at once: what the connection has not taken is lost; `connection_lost(None)` follows.

        What it has taken is delivered and then ends in order, as with asyncio over the kernel; with SO_LINGER at 0 s,
        or when data is unread, the connection is reset instead.
        """
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        """The name by which asyncio's TLS protocol aborts the transport below it."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._finish(error)

    def _finish(self, error: BaseException | None = None) -> None:
        """Everything that is still to be delivered is with the stack, which does so."""
        if not self._lost:
            self._let_go()
            self._asyncio_loop.call_soon(self._connection_lost, error)

    def _let_go(self) -> None:
        self._closing = True
        self._lost = True
        if self._options.linger_s == 0:
            self._connection.abort()
        else:
            self._connection.close()
        self._driver.detach(self._connection)
        self._driver.wake()

    def _connection_lost(self, error: BaseException | None) -> None:
        self._socket.release()
        protocol, self._protocol = self._protocol, None
        protocol.connection_lost(error)

    def _fatal_error(self, error: BaseException, method: str) -> None:
        if not isinstance(error, OSError):
            self._report(error, method, "Fatal error: ")
        self._force_close(error)

    def _report(self, error: BaseException, method: str, how: str = "") -> None:
        self._asyncio_loop.call_exception_handler(
            {
                "message": f"{how}protocol.{method}() call failed.",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )


def unchanging(data: Writable) -> memoryview:
    """A flat view of bytes that will not change: of `data` itself where it is, or is a view of, bytes."""
    if isinstance(data, memoryview):
        if data.c_contiguous and isinstance(data.obj, bytes):
            return data.cast("B")
        return memoryview(data.tobytes())
    return memoryview(data if isinstance(data, bytes) else bytes(data))
