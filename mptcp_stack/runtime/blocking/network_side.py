"""The network's side of blocking sockets: what the application writes goes to its connection, and what comes to it.

An application's socket is one end of a pair of AF_UNIX stream sockets, and a `NetworkSide` has the other end. So
waiting, timeouts, signals, files, `select`, `dup`, `fork` and TLS are the kernel's and the standard library's work; two
copies are the price. By such a pair Linux also tells how an end was closed:

- the other end hangs up when the last descriptor of it is closed, wherever that may be;
- to whom closes with something unread, the other end's error is ECONNRESET, which TCP would send as a reset, too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import termios
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet, WeakValueDictionary

from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.socket_options.options import SocketOptions
from mptcp_stack.stack import Address, Connection, Listener

if TYPE_CHECKING:
    from .network_thread import NetworkThread

BUFFER_BYTES: Final = 256 << 10
"""What lies in a pair at the most, in each direction, beside the connection's own buffers. With half of it bulk
transfers cost half as much processor time again; with two or four times as much not less."""
_PIECE_BYTES: Final = 256 << 10
"""One call empties or fills a pair."""
_MOST_CHUNKS: Final = 1024  # IOV_MAX
_SMALLEST_PAD_BYTES: Final = 1024  # a quarter of the smallest buffer that Linux gives
_EVERY_IPV6: Final = bytes(16)

_SIDES: WeakValueDictionary[tuple[int, int], NetworkSide] = WeakValueDictionary()
"""By the identity of the application's end."""


class NetworkSide:
    """One socket as the network's thread knows it; the handler of its connection.

    All is done in that thread, except for making it and reading its attributes. `end`: our end of the pair, `number`
    its descriptor; `new`: the application's, until it is given out. `sockets`: the application's over this connection;
    `descriptors`: numbers that its end has or had. `local`: what was bound. `streaming`: it is or was connected.

    Raises OSError (ENETDOWN, EMFILE).
    """

    def __init__(self, thread: NetworkThread, options: SocketOptions) -> None:
        if thread.over:
            raise error(errno.ENETDOWN)
        near, self.end = socket.socketpair()
        self.end.setblocking(False)
        self.number = self.end.fileno()
        self.thread = thread
        self.options = options
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._sending_buffer)
        self.driver = options.driver
        self.local: Address | None = None
        self.connection: Connection | None = None
        self.streaming = False
        self.listener: Listener | None = None
        self.arrivals: deque[NetworkSide] = deque()
        self._owed_rings = 0
        self._padding = 0
        self._unfit = False
        self._reading = self._writing = self._ended = False
        self._identity = _identity(near.fileno())
        _SIDES[self._identity] = self
        self.sockets: WeakSet[socket.socket] = WeakSet()
        self.new = near.detach()
        self.descriptors = {self.new}
        self.fit_receiving()
        thread.watch(self)

    def fit_receiving(self) -> None:
        """Let no more wait in the pair than the application's SO_RCVBUF is."""
        size = pair_buffer(self.options.setting("receive_buffer_bytes"))
        with suppress(OSError):  # closed
            self.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def fit_sending(self) -> None:
        """Let no more wait in the pair than the application's SO_SNDBUF is; while it is to be full, do so later."""
        self._unfit = bool(self._padding)
        if not self._unfit:
            self._resize_sending()

    def _resize_sending(self) -> None:
        with suppress(OSError), self._borrowed() as near:  # closed
            end = socket.socket(fileno=near)
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._sending_buffer)
            finally:
                end.detach()

    @property
    def _sending_buffer(self) -> int:
        return pair_buffer(self.options.setting("send_buffer_bytes"))

    @property
    def name(self) -> Address:
        """Its own address."""
        holder = self.connection or self.listener
        return (self.local or Address(b"", 0)) if holder is None else holder.local

    def _check_open(self) -> None:
        if self.end.fileno() < 0 and not self.streaming:
            raise error(errno.EBADF)

    # --- opening

    def bind(self, local: Address) -> None:
        """Take an address and port, for `connect` or `listen`. Raises OSError (EADDRNOTAVAIL, EADDRINUSE, EINVAL)."""
        self._check_open()
        if self.local is not None or self.connection is not None or self.listener is not None:
            raise error(errno.EINVAL)
        if local.ip == _EVERY_IPV6 and not self.options.ipv6_only:
            local = Address(b"", local.port)
        if local.specific and all(own.ip != local.ip for own in self.options.stack.addresses):
            raise error(errno.EADDRNOTAVAIL)
        self.local = self.thread.reserve(local, self)
        self.options.bind(local)

    def connect(self, remote: Address) -> int:
        """Begin to connect: EINPROGRESS, or EALREADY when that was done before. Raises OSError."""
        self._check_open()
        if self.streaming:
            raise error(errno.EISCONN)
        if self.listener is not None:
            raise error(errno.EISCONN)
        if self.connection is not None:
            return errno.EALREADY
        if self.options.error is not None:
            failed, self.options.error = self.options.error, None
            raise failed
        with self._padded():
            self._attach(self.driver.connect(remote, self.local, **self.options.opening()))
        return errno.EINPROGRESS

    def listen(self, backlog: int) -> None:
        """Accept connections to the address of `bind`; again, only `backlog` changes. Raises OSError."""
        self._check_open()
        if self.connection is not None:
            raise error(errno.EINVAL)
        if self.listener is not None:
            self.listener.backlog = backlog
            return
        self.thread.check_listening(self)
        with self._padded():
            local = self.local or Address(b"", 0)
            self.listener = self.driver.listen(local, backlog, self._accept, **self.options.opening())
        self.local = self.listener.local
        self.options.listener = self.listener

    def _accept(self, connection: Connection) -> None:
        """A connection to our listener; a byte in the pair tells of it."""
        assert self.listener is not None
        try:
            side = NetworkSide(self.thread, self.options.inherit())
        except OSError:  # no descriptor is left
            self.options.stack.counters["TcpExtListenDrops"] += 1
            self._abort(connection)
            return
        side._attach(connection)
        side.on_connected()
        self.listener.waiting += 1
        self.arrivals.append(side)
        self._owed_rings += 1
        self._ring()

    def taken(self) -> None:
        """The application has one more of our arrivals."""
        if self.listener is not None:
            self.listener.waiting -= 1

    def _ring(self) -> None:
        try:
            while self._owed_rings:
                self._owed_rings -= self.end.send(bytes(self._owed_rings))
        except BlockingIOError:
            self._watch_writing(True)
        except OSError:
            return  # it is closed, and we hear of it
        else:
            self._watch_writing(False)

    def _attach(self, connection: Connection) -> None:
        self.connection = connection
        self.options.attach(connection)
        self.driver.attach(connection, self)

    @contextmanager
    def _padded(self) -> Iterator[None]:
        """Fill the pair, so that the application's end is not writable, unless what is in the block fails."""
        # A quarter of the buffer: Linux takes it without waiting, and finds the rest too little to be writable.
        piece = bytes(max(self._sending_buffer // 2, _SMALLEST_PAD_BYTES))
        with self._borrowed() as near:
            poll = select.poll()
            poll.register(near, select.POLLOUT)
            while poll.poll(0):
                self._padding += os.write(near, piece)
        try:
            yield
        except BaseException:
            self._unpad()
            raise

    def _unpad(self) -> None:
        if self._unfit:  # before anybody can write
            self._unfit = False
            self._resize_sending()
        while self._padding:
            self._padding -= len(self.end.recv(self._padding))

    def _known(self) -> int:
        """A descriptor of the application's end, as far as we know one; else -1."""
        return next((number for number in tuple(self.descriptors) if _identity(number) == self._identity), -1)

    @contextmanager
    def _borrowed(self) -> Iterator[int]:
        """A further descriptor of the application's end. Raises OSError: EBADF when there is none, EMFILE."""
        # Only of what is surely ours: to close another one of some file gives up this process's locks on it.
        near = os.dup(self._known())
        try:
            if _identity(near) != self._identity:
                raise error(errno.EBADF)
            yield near
        finally:
            os.close(near)

    # --- what the driver reports

    def on_connected(self) -> None:
        """Begin to carry the stream."""
        self.streaming = True
        self._unpad()
        self._watch_reading(True)
        self.on_readable()

    def on_readable(self) -> None:
        """Hand on what has arrived, as far as the pair has room, then the end of it."""
        connection = self.connection
        assert connection is not None
        try:
            while connection.receive_ready:
                chunks = connection.peek(_PIECE_BYTES)
                connection.receive(self.end.sendmsg(chunks[:_MOST_CHUNKS]))
                self.driver.wake()
            if connection.eof:
                self.end.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            self._watch_writing(True)
            return
        except OSError:
            pass  # SHUT_RD; or closed, and we hear of it
        self._watch_writing(False)
        if self._ended:
            self.close()

    def on_writable(self) -> None:
        """Take from the application again."""
        self._watch_reading(True)

    def on_closed(self, error: OSError | None) -> None:
        """What has arrived can still be read before the error; writing fails at once."""
        assert self.connection is not None
        # For who reads, an end comes before any error (SOCK_DONE in Linux).
        self.options.error = None if self.connection.receiving.finished else error
        self._watch_reading(False)
        if not self.streaming:
            self.connection = self.options.connection = None
            self._unpad()
            return
        self._ended = True
        if self.options.error is not None:
            self._mark()
        with suppress(OSError):
            self.end.shutdown(socket.SHUT_RD)
        if self.options.error is None:
            self._discard()
        self.on_readable()

    def _mark(self) -> None:
        """Have something unread: closing makes it an ECONNRESET at the other end.

        Impossible when the application has ended its stream; `Socket` does without.
        """
        (unread,) = struct.unpack("i", fcntl.ioctl(self.end, termios.FIONREAD, bytes(4)))
        if not unread:
            with suppress(OSError), self._borrowed() as near:
                os.write(near, b"\0")

    def _discard(self) -> None:
        """Leave nothing unread, for which closing would be an ECONNRESET at the other end; it cannot write any more."""
        with suppress(OSError):
            while self.end.recv(_PIECE_BYTES):
                pass

    # --- what the application does

    def _read(self) -> None:
        """It has written, or ended its stream."""
        connection = self.connection
        assert connection is not None
        space = connection.send_space
        if not space:
            connection.want_room()
            self._watch_reading(False)
            return
        try:
            data = self.end.recv(min(space, _PIECE_BYTES))
        except BlockingIOError:
            return
        except OSError:
            self._leave(reset=True)
            return
        if data:
            with suppress(OSError):  # it has failed, and `on_closed` follows
                connection.send(data)
        else:
            self.thread.heed_hangups()  # so that a reset does not begin as an orderly end
            self._watch_reading(False)
            if self.end.fileno() < 0:
                return
            connection.shutdown()
        self.driver.wake()

    def hang_up(self) -> None:
        """It has closed its last descriptor, or both directions have ended. What it wrote before is still sent."""
        connection = self.connection
        if connection is None or not self.streaming or self._ended:
            self._leave(reset=True)
            return
        reset = False
        try:
            # It was taken from the application already, so the size of the connection's buffer is no matter.
            while data := self.end.recv(_PIECE_BYTES):
                if connection.sending.fin is None:
                    connection.sending.queue.append(memoryview(data))
        except BlockingIOError:
            pass  # not closed: `finish_unseen`
        except OSError:
            reset = True  # there was something unread
        if self._known() < 0:
            reset = reset or self.options.linger_s == 0 or connection.receive_ready > 0
        else:
            connection.receive()  # as with Linux this end is orderly, unless more comes
        self._leave(reset)

    def finish(self) -> None:
        """The network is being closed: nothing more is taken from the application."""
        with suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)
        self.hang_up()

    def finish_unseen(self) -> None:
        """As `finish`, but who waits at the application's end is not told."""
        try:
            os.dup(self.number)  # for good: the program is exiting
        except OSError:
            self.finish()
            return
        if self.listener is not None:
            self.close()
        self.hang_up()

    def stop_listening(self) -> None:
        """Accept nothing more, and reset what was not accepted; who waits in `accept` gets an error."""
        if self.listener is None:
            return
        self.driver.stop_listening(self.listener)
        with suppress(IndexError):  # `accept` takes them, too
            while self.arrivals:
                arrival = self.arrivals.popleft()
                arrival.options.linger_s = 0
                os.close(arrival.new)
        with suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)

    def _leave(self, reset: bool) -> None:
        """Nobody is there any more: let the stack bring the connection to its end."""
        self.stop_listening()
        if self.connection is not None and not self._ended:
            self.driver.detach(self.connection)
            if reset:
                # What was written goes out first, as far as it may: TCP would have sent it already.
                self.connection.nodelay = True
                self.driver.wake()
                self.thread.loop.call_soon(self._abort, self.connection)
            else:
                self.connection.close()
                self.driver.wake()
        self.close()

    def _abort(self, connection: Connection) -> None:
        connection.abort()
        self.driver.wake()

    def close(self) -> None:
        """Close our end."""
        self._watch_reading(False)
        self._watch_writing(False)
        self.thread.forget(self)
        self.end.close()

    def is_delivered(self) -> bool:
        """Whether the peer has acknowledged all that was written, and the end of it, or nothing more will happen."""
        connection = self.connection
        return connection is None or connection.sending.finished or connection.closing.closed

    def _watch_reading(self, on: bool) -> None:
        if on == self._reading or self.end.fileno() < 0:
            return
        self._reading = on
        if on:
            self.thread.loop.add_reader(self.number, self._read)
        else:
            self.thread.loop.remove_reader(self.number)

    def _watch_writing(self, on: bool) -> None:
        if on == self._writing or self.end.fileno() < 0:
            return
        self._writing = on
        if on:
            self.thread.loop.add_writer(self.number, self._ring if self.connection is None else self.on_readable)
        else:
            self.thread.loop.remove_writer(self.number)


def pair_buffer(size: int) -> int:
    """What SO_SNDBUF is to be at one end of a pair, that no more than `size` bytes wait at the other: Linux doubles."""
    return min(size, BUFFER_BYTES) // 2


def _identity(descriptor: int) -> tuple[int, int]:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def network_side_of(descriptor: int) -> NetworkSide | None:
    """The side of a socket of ours."""
    return _SIDES.get(_identity(descriptor))
