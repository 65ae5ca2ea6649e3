"""The network's side of blocking sockets: what the application writes goes to its connection, and what comes to it.

An application's socket is one end of a pair of AF_UNIX stream sockets, and a `Side` has the other end. So waiting,
timeouts, signals, files, `select`, `dup`, `fork` and TLS are the kernel's and the standard library's work; two copies
are the price. Linux also tells by such a pair how an end was closed:

- its other end hangs up when the last descriptor of it is closed, wherever that may be;
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
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet, WeakValueDictionary

from mptcp_stack.stack import Address, Connection, Listener

from .errors import error
from .options import SocketOptions

if TYPE_CHECKING:
    from .network_thread import NetworkThread

BUFFER_BYTES: Final = 256 << 10
"""What lies in a pair at the most, in each direction, beside the connection's own buffers. Twice as much makes bulk
transfers 10 % faster at the most, half of it 20 % slower."""
_PIECE_BYTES: Final = 256 << 10
_MOST_CHUNKS: Final = 1024  # IOV_MAX
_SMALLEST_PAD_BYTES: Final = 1024  # a quarter of the smallest buffer that Linux gives

_EVERY_IPV6: Final = bytes(16)

_SIDES: WeakValueDictionary[tuple[int, int], Side] = WeakValueDictionary()
"""By the identity of the application's end."""


class Side:
    """One socket as the network's thread knows it; the handler of its connection.

    All is done in that thread, except for making it and reading its attributes. ``sockets``: the application's over
    this connection; ``descriptors``: numbers that its end has or had. ``local``: what was bound. ``streaming``: it is
    or was connected. Raises OSError (ENETDOWN).
    """

    def __init__(self, thread: NetworkThread, options: SocketOptions) -> None:
        if thread.over:
            raise error(errno.ENETDOWN)
        near, self._far = socket.socketpair()
        self.thread = thread
        self.options = options
        self.driver = options.driver
        self.local: Address | None = None
        self.connection: Connection | None = None
        self.streaming = False
        self.listener: Listener | None = None
        self.arrivals: deque[Side] = deque()
        self._padding = 0
        self._owed_rings = 0
        self._reading = self._writing = False
        self._ended = self._hung_up = False
        self._far.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, pair_buffer(options.setting("send_buffer_bytes")))
        self.fit_receiving()
        self._identity = _identity(near.fileno())
        _SIDES[self._identity] = self
        self.sockets: WeakSet[socket.socket] = WeakSet()
        self.descriptors = {near.fileno()}
        self.new = near.detach()
        """The application's end, until it is given out."""
        self.far = self._far.fileno()
        thread.watch(self)

    def fit_receiving(self) -> None:
        """Let no more wait in the pair than the application's SO_RCVBUF is."""
        size = pair_buffer(self.options.setting("receive_buffer_bytes"))
        self._far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    @property
    def name(self) -> Address:
        """Its own address."""
        holder = self.connection or self.listener
        return (self.local or Address(b"", 0)) if holder is None else holder.local

    def _check_open(self) -> None:
        if self._far.fileno() < 0 and not self.streaming:
            raise error(errno.EBADF)

    # --- opening

    def bind(self, local: Address) -> None:
        """See `Socket.bind`."""
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
            raise error(errno.EINVAL)
        if self.connection is not None:
            return errno.EALREADY
        if self.options.error is not None:
            failed, self.options.error = self.options.error, None
            raise failed
        connection = self.driver.connect(remote, self.local, **self.options.opening())
        self._pad()
        self._attach(connection)
        return errno.EINPROGRESS

    def listen(self, backlog: int) -> None:
        """See `Socket.listen`."""
        self._check_open()
        if self.connection is not None:
            raise error(errno.EINVAL)
        if self.listener is not None:
            self.listener.backlog = backlog
            return
        self.thread.check_listening(self)
        local = self.local or Address(b"", 0)
        self.listener = self.driver.listen(local, backlog, self._accept, **self.options.opening())
        self.local = self.listener.local
        self.options.listener = self.listener
        self._pad()

    def _accept(self, connection: Connection) -> None:
        """A connection to our listener; a byte in the pair tells of it."""
        assert self.listener is not None
        side = Side(self.thread, self.options.inherit())
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
                self._owed_rings -= self._far.send(bytes(self._owed_rings))
        except BlockingIOError:
            self._watch_writing(True)
        except OSError:
            return  # it is closed
        else:
            self._watch_writing(False)

    def _attach(self, connection: Connection) -> None:
        self.connection = connection
        self.options.attach(connection)
        self.driver.attach(connection, self)

    def _pad(self) -> None:
        """Fill the pair, so that the application's end is not writable."""
        # A quarter of the buffer: Linux takes it without waiting, and finds the rest too little to be writable.
        piece = bytes(max(pair_buffer(self.options.setting("send_buffer_bytes")) // 2, _SMALLEST_PAD_BYTES))
        near = self._borrow()
        if near < 0:
            return
        poll = select.poll()
        poll.register(near, select.POLLOUT)
        while poll.poll(0):
            self._padding += os.write(near, piece)
        os.close(near)

    def _unpad(self) -> None:
        while self._padding:
            self._padding -= len(self._far.recv(self._padding))

    def _known(self) -> int:
        """A descriptor of the application's end, as far as we know one; else -1."""
        return next((number for number in tuple(self.descriptors) if _identity(number) == self._identity), -1)

    def _borrow(self) -> int:
        """A further descriptor of the application's end, -1 when there is none."""
        # Only of what is surely ours: to close another one of some file gives up this process's locks on it.
        number = self._known()
        if number < 0:
            return -1
        copy = os.dup(number)
        if _identity(copy) == self._identity:
            return copy
        os.close(copy)
        return -1

    # --- what the driver reports

    def on_connected(self) -> None:
        """See `ConnectionHandler`."""
        self.streaming = True
        self._unpad()
        self._watch_reading(True)
        self.on_readable()

    def on_readable(self) -> None:
        """See `ConnectionHandler`. Hand on what has arrived, as far as the pair has room, then the end of it."""
        connection = self.connection
        assert connection is not None
        if self._hung_up and connection.receive_ready:
            self._leave(reset=True)
            return
        try:
            while connection.receive_ready:
                chunks = connection.peek(_PIECE_BYTES)
                connection.receive(self._far.sendmsg(chunks[:_MOST_CHUNKS]))
                self.driver.wake()
        except BlockingIOError:
            self._watch_writing(True)
            return
        except OSError:
            # SHUT_RD, or closed: what that means is told by the hang-up.
            self._watch_writing(False)
            if not self._ended:
                return
        self._watch_writing(False)
        if self._ended:
            self.forget()
        elif connection.eof:
            with suppress(OSError):
                self._far.shutdown(socket.SHUT_WR)

    def on_writable(self) -> None:
        """See `ConnectionHandler`."""
        self._watch_reading(True)

    def on_closed(self, error: OSError | None) -> None:
        """See `ConnectionHandler`. What has arrived can still be read before the error; writing fails at once."""
        connection = self.connection
        if connection is not None and connection.receiving.finished:
            error = None  # whoever reads has come to the end (Linux: SOCK_DONE)
        self.options.error = error
        self._watch_reading(False)
        if not self.streaming:
            self.connection = self.options.connection = None
            self._unpad()
            return
        self._ended = True
        if error is not None:
            self._mark()
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RD)
        self.on_readable()

    def _mark(self) -> None:
        """Leave a byte unread: closing makes it an ECONNRESET at the other end.

        Impossible when the application has ended its stream; `Socket` does without.
        """
        if _waiting_bytes(self._far):
            return
        near = self._borrow()
        if near >= 0:
            with suppress(OSError):
                os.write(near, b"\0")
            os.close(near)

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
            data = self._far.recv(min(space, _PIECE_BYTES))
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
            if self._far.fileno() < 0:
                return
            if self._hung_up:
                self._leave(reset=False)
                return
            self._watch_reading(False)
            connection.shutdown()
        self.driver.wake()

    def hang_up(self) -> None:
        """It has closed its last descriptor, or both directions have ended. What it wrote before is still sent."""
        if not self.streaming or self._ended:
            self._leave(reset=True)
            return
        assert self.connection is not None
        self._hung_up = True
        unread = self._far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or self.connection.receive_ready
        if self._known() >= 0:
            # It is not closed. As with Linux, what has arrived is no matter, and what comes now leads to a reset.
            self.connection.receive()
        elif unread or self.options.linger_s == 0:
            self._leave(reset=True)
            return
        self._watch_writing(False)
        self._watch_reading(True)

    def end(self) -> None:
        """The network is being closed: nothing more is taken from the application."""
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)
        self.hang_up()

    def stop_listening(self) -> None:
        """Accept nothing more, and reset what was not accepted; who waits in `accept` gets an error."""
        if self.listener is None:
            return
        self.driver.stop_listening(self.listener)
        while self.arrivals:
            with suppress(IndexError):  # `accept` takes them, too
                arrival = self.arrivals.popleft()
                os.close(arrival.new)
                arrival._leave(reset=True)
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)

    def _leave(self, reset: bool) -> None:
        """Nobody is there any more: let the stack bring the connection to its end."""
        self.stop_listening()
        connection = self.connection
        if connection is not None and not self._ended:
            self.driver.detach(connection)
            if not reset:
                connection.close()
            else:
                if self.streaming and connection.send_space:
                    # TCP would have sent this already.
                    with suppress(OSError):
                        connection.send(self._far.recv(connection.send_space))
                    self.driver.wake()
                self.thread.loop.call_soon(self._abort, connection)
            self.driver.wake()
        self.forget()

    def _abort(self, connection: Connection) -> None:
        connection.abort()
        self.driver.wake()

    def forget(self) -> None:
        """Close our end."""
        self._watch_reading(False)
        self._watch_writing(False)
        self.thread.forget(self)
        self._far.close()

    def is_delivered(self) -> bool:
        """Whether the peer has acknowledged all that was written, and the end of it, or nothing more will happen."""
        return self.connection is None or self._far.fileno() < 0 or self.connection.sending.finished

    def _watch_reading(self, on: bool) -> None:
        if on != self._reading and self._far.fileno() >= 0:
            self._reading = on
            if on:
                self.thread.loop.add_reader(self.far, self._read)
            else:
                self.thread.loop.remove_reader(self.far)

    def _watch_writing(self, on: bool) -> None:
        if on != self._writing and self._far.fileno() >= 0:
            self._writing = on
            if on:
                self.thread.loop.add_writer(self.far, self._ring if self.connection is None else self.on_readable)
            else:
                self.thread.loop.remove_writer(self.far)


def pair_buffer(size: int) -> int:
    """What SO_SNDBUF is to be at one end of a pair, that no more than `size` bytes wait at the other: Linux doubles."""
    return min(size, BUFFER_BYTES) // 2


def _waiting_bytes(end: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, bytes(4)))[0])


def _identity(descriptor: int) -> tuple[int, int]:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def side_of(descriptor: int) -> Side | None:
    """The side of a socket of ours."""
    return _SIDES.get(_identity(descriptor))
