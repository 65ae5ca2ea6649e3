import errno
import http.client
import os
import select
import selectors
import socket
import struct
import threading
import time
import urllib.error
import urllib.request

import pytest

from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import Network, SocketNetwork

from .conftest import CLIENT, SERVER, stack_config


def test_both_directions(connected):
    near, far = connected
    assert near.send(b"question") == 8
    assert far.recv(100) == b"question"
    far.sendall(b"answer")
    assert near.recv(3) == b"ans"
    assert near.recv(100) == b"wer"
    far.close()
    assert near.recv(100) == b""
    assert near.recv(100) == b""


def test_names(connected, networks):
    near, far = connected
    assert near.getpeername() == (SERVER, 80)
    assert far.getpeername() == near.getsockname()
    assert near.getsockname()[0] == CLIENT
    assert near.mptcp_info()["is_mptcp"]
    assert networks[0].counters["MPTcpExtMPCapableSYNTX"] == 1


def test_sendall_waits_for_a_slow_reader(connected):
    near, far = connected
    data = bytes(range(256)) * 4000
    thread = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    received = bytearray()
    buffer = bytearray(30_000)
    while count := far.recv_into(buffer):
        received += buffer[:count]
    thread.join()
    assert received == data
    far.sendall(b"the other direction is open")
    assert near.recv(100) == b"the other direction is open"


def test_recv_into_with_a_limit(connected):
    near, far = connected
    near.sendall(b"abcdef")
    buffer = bytearray(b"......")
    assert far.recv_into(buffer, 2) == 2
    assert far.recv_into(memoryview(buffer)[3:]) == 3
    assert buffer == b"ab.cde"
    assert far.recv(0) == b""


def test_timeouts(connected):
    near, _ = connected
    near.settimeout(0.05)
    assert near.gettimeout() == 0.05
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        near.recv(1)
    assert 0.04 < time.monotonic() - before < 1
    with pytest.raises(TimeoutError):
        near.sendall(bytes(1_000_000))
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        near.recv(1)
    with pytest.raises(ValueError, match="out of range"):
        near.settimeout(-1)


def test_non_blocking_send_takes_what_fits(connected):
    near, _ = connected
    near.setblocking(False)
    assert 80_000 < near.send(bytes(1_000_000)) < 250_000
    near.setblocking(True)
    assert near.gettimeout() is None


def test_accept_times_out(networks):
    with networks[1].socket() as listener:
        listener.listen()
        listener.settimeout(0.02)
        with pytest.raises(TimeoutError):
            listener.accept()
        assert listener.getsockname()[1]


def test_refused_and_then_accepted(networks):
    client, server = networks
    with client.socket() as near, server.socket() as listener:
        with pytest.raises(ConnectionRefusedError):
            near.connect((SERVER, 80))
        listener.bind((SERVER, 80))
        listener.listen()
        near.connect((SERVER, 80))
        with pytest.raises(OSError, match="already connected"):
            near.connect((SERVER, 80))


def test_bound_address_is_used(networks):
    client, server = networks
    with server.socket() as listener, client.socket(mptcp=False) as near:
        listener.bind(("", 80))
        listener.listen()
        near.bind((CLIENT, 4321))
        assert near.getsockname() == (CLIENT, 4321)
        near.connect((SERVER, 80))
        with listener.accept()[0] as far:
            assert far.getpeername() == (CLIENT, 4321)
            assert not far.mptcp_info()["is_mptcp"]


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda s: s.recv(1), errno.ENOTCONN),
        (lambda s: s.send(b"x"), errno.EPIPE),
        (lambda s: s.getpeername(), errno.ENOTCONN),
        (lambda s: s.shutdown(socket.SHUT_WR), errno.ENOTCONN),
        (lambda s: s.accept(), errno.EINVAL),
        (lambda s: (s.listen(), s.connect((SERVER, 80))), errno.EISCONN),
        (lambda s: s.connect(("192.0.2.1", 1)), errno.ENETUNREACH),
        (lambda s: (s.bind(("10.0.0.9", 1)), s.listen()), errno.EADDRNOTAVAIL),
        (lambda s: (s.close(), s.recv(1)), errno.EBADF),
    ],
)
def test_errors_are_those_of_the_standard_library(networks, call, number):
    with networks[0].socket() as near, pytest.raises(OSError, match=os.strerror(number)) as caught:
        call(near)
    assert caught.value.errno == number


def test_writing_after_shutdown(connected):
    near, _ = connected
    near.shutdown(socket.SHUT_RDWR)
    with pytest.raises(BrokenPipeError):
        near.send(b"x")


def test_reset_by_the_peer(connected):
    near, far = connected
    near.sendall(b"unread")
    time.sleep(0.05)
    far.close()
    with pytest.raises(ConnectionResetError):
        near.recv(1)
    # It is told once, as with Linux.
    assert near.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        near.send(b"x")


@pytest.mark.parametrize("what", ["socket", "network"])
def test_closing_wakes_a_thread_that_waits(connected, networks, what):
    near, _ = connected
    errors = []

    def wait():
        try:
            near.recv(1)
        except OSError as error:
            errors.append(error.errno)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    (near if what == "socket" else networks[0]).close()
    thread.join(5)
    assert errors == [errno.EBADF if what == "socket" else errno.ENETDOWN]


def test_after_the_network_was_closed(networks):
    near = networks[0].socket()
    networks[0].close()
    networks[0].close()
    with near, pytest.raises(OSError, match="Network is down"):
        near.connect((SERVER, 80))
    with pytest.raises(OSError, match="Network is down"):
        networks[0].socket()


def test_files(connected):
    near, far = connected
    with near.makefile("rwb") as own, far.makefile("r", encoding="utf-8") as text:
        near.close()
        own.write(b"first\nsecond")
        own.flush()
        assert text.readline() == "first\n"
        # The connection lasts as long as its last file.
        far.sendall(b"answer")
        assert own.read(6) == b"answer"
        own.close()
        assert text.read() == "second"
    with pytest.raises(OSError, match="Bad file descriptor"):
        near.recv(1)


def test_sending_a_file(connected, tmp_path):
    near, far = connected
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * 400)
    with path.open("rb") as file, far.makefile("rb") as received:
        assert near.sendfile(file, 50, 1000) == 1000
        assert file.tell() == 1050
        assert received.read(1000) == path.read_bytes()[50:1050]
        assert near.sendfile(file, 99_000) == 1000
        assert received.read(1000) == path.read_bytes()[99_000:]
    assert near.sendmsg([b"a", memoryview(b"bc")]) == 3
    assert far.recv(10) == b"abc"


def test_shutting_down_the_reading_side(connected):
    near, far = connected
    far.sendall(b"arrived")
    assert near.recv(1) == b"a"
    results = []
    near.recv(6)
    thread = threading.Thread(target=lambda: results.append(near.recv(1)))
    thread.start()
    time.sleep(0.05)
    near.shutdown(socket.SHUT_RD)
    thread.join(5)
    assert results == [b""]
    near.sendall(b"still writing")
    assert far.recv(100) == b"still writing"


def test_connecting_without_waiting(networks):
    client, server = networks
    with server.create_server(("", 80)), client.socket() as near:
        near.setblocking(False)
        codes = [near.connect_ex((SERVER, 80))]
        while codes[-1] not in (0, errno.EISCONN):
            codes.append(near.connect_ex((SERVER, 80)))
        assert codes[0] == errno.EINPROGRESS
        assert set(codes[1:-1]) <= {errno.EALREADY}


@pytest.mark.parametrize("call", [lambda s: s.recv(1), lambda s: s.send(b"x"), lambda s: s.connect((SERVER, 80))])
def test_what_was_refused_without_waiting_is_told_once(networks, call):
    with networks[0].socket() as near:
        near.setblocking(False)
        assert near.connect_ex((SERVER, 80)) == errno.EINPROGRESS
        assert select.select([], [near], [], 5)[1]
        with pytest.raises(ConnectionRefusedError):
            call(near)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_connecting_with_a_time_limit_of_years(networks):
    with networks[0].socket() as near:
        near.settimeout(1e8)
        with pytest.raises(ConnectionRefusedError):
            near.connect((SERVER, 80))


def test_a_buffer_that_grows_while_connecting():
    """Nothing can be written until then, as `select` has it; nor ever to a listener."""
    near_device, _silence = memory_pair()
    with (
        SocketNetwork(Network(stack_config(CLIENT), near_device, linger_s=0.1)) as client,
        client.socket() as near,
        client.create_server(("", 80)) as listener,
    ):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        near.setblocking(False)
        assert near.connect_ex((SERVER, 80)) == errno.EINPROGRESS
        for one in (near, listener):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 500_000)
        assert select.select([], [near, listener], [], 0.1)[1] == []


def test_the_size_of_a_buffer_that_grows_while_connecting_holds(networks):
    client, server = networks
    with server.create_server(("", 80)), client.socket() as near:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        near.setblocking(False)
        near.connect_ex((SERVER, 80))
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        assert select.select([], [near], [], 5)[1] == [near]
        assert near.send(bytes(20_000)) == 20_000


def test_flags(connected):
    near, _ = connected
    with pytest.raises(BlockingIOError):
        near.recv(1, socket.MSG_DONTWAIT)
    with pytest.raises(OSError, match="not supported"):
        near.recv(1, socket.MSG_OOB)
    with pytest.raises(OSError, match="not supported"):
        near.send(b"x", socket.MSG_OOB)


def test_looking_without_taking(connected):
    near, far = connected
    far.sendall(b"abcdef")
    buffer = bytearray(4)
    assert near.recv(3, socket.MSG_PEEK) == b"abc"
    assert near.recv_into(buffer, 0, socket.MSG_PEEK) == 4
    assert (buffer, near.recv(100)) == (b"abcd", b"abcdef")
    far.close()
    assert near.recv(1, socket.MSG_PEEK) == b""


def test_waiting_for_all(connected):
    """More than the receive buffer holds; and what there is, when the stream or the time ends before."""
    near, far = connected
    data = bytes(range(250)) * 2000
    thread = threading.Thread(target=far.sendall, args=(data,))
    thread.start()
    assert near.recv(len(data), socket.MSG_WAITALL) == data
    thread.join()
    near.settimeout(0.05)
    with pytest.raises(TimeoutError):
        near.recv(2, socket.MSG_WAITALL)
    far.sendall(b"x")
    assert near.recv(2, socket.MSG_WAITALL) == b"x"
    far.sendall(b"yz")
    far.close()
    near.settimeout(None)
    assert near.recv(3, socket.MSG_WAITALL) == b"yz"


def test_select(connected):
    """Readable with data and at the end, writable while there is room in the send buffer."""
    near, far = connected
    assert select.select([near], [near], [near], 0) == ([], [near], [])
    with selectors.DefaultSelector() as selector:
        selector.register(near, selectors.EVENT_READ)
        far.sendall(b"abc")
        assert [key.fileobj for key, _ in selector.select(5)] == [near]
    near.recv(2)
    assert select.select([near], [], [], 0)[0] == [near]
    near.recv(1)
    assert select.select([near], [], [], 0)[0] == []
    near.setblocking(False)
    sent = 0
    while select.select([], [near], [], 0)[1]:
        sent += near.send(bytes(70_000))
    assert len(far.recv(sent - 10_000, socket.MSG_WAITALL)) == sent - 10_000  # Linux asks for three quarters of room
    assert select.select([], [near], [], 5)[1] == [near]
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    assert select.select([near], [], [], 5)[0] == [near]
    assert select.select([], [near], [], 0)[1] == [near]


def test_select_while_connecting(networks):
    client, server = networks
    with server.create_server(("", 80)) as listener, client.socket() as near, client.socket() as refused:
        assert select.select([listener], [], [], 0)[0] == []
        for one, port in ((near, 80), (refused, 81)):
            one.setblocking(False)
            assert one.connect_ex((SERVER, port)) == errno.EINPROGRESS
            assert select.select([], [one], [], 5)[1] == [one]
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert refused.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        assert select.select([listener], [], [], 5)[0] == [listener]
        listener.accept()[0].close()
        assert select.select([listener], [], [], 0)[0] == []


def test_the_end_of_the_network_wakes_who_polls(connected, networks):
    near, _ = connected
    with selectors.DefaultSelector() as selector:
        selector.register(near, selectors.EVENT_READ)
        networks[0].close()
        assert selector.select(5)


def test_duplicates(connected):
    """Two sockets over one connection, which ends with the last of them; options are shared, timeouts are not."""
    near, far = connected
    near.settimeout(5)
    twin = near.dup()
    assert (twin.getpeername(), twin.gettimeout()) == (near.getpeername(), 5)
    assert twin.fileno() != near.fileno()
    twin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    near.close()
    near.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        near.recv(1)
    twin.sendall(b"still there")
    assert far.recv(100) == b"still there"
    far.sendall(b"so am I")
    assert select.select([twin], [], [], 5)[0] == [twin]
    assert twin.recv(100) == b"so am I"
    twin.close()
    assert far.recv(1) == b""


def test_binding(networks):
    with networks[0].socket() as near:
        assert near.getsockname() == ("0.0.0.0", 0)
        near.bind((CLIENT, 0))
        assert (near.family, near.type, near.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
        with pytest.raises(OSError, match="Invalid argument"):
            near.bind((CLIENT, 0))
    with networks[0].socket() as near, pytest.raises(OSError, match="Cannot assign"):
        near.bind(("10.0.0.9", 1))


@pytest.mark.parametrize("every", ["", "0.0.0.0", "::"])
def test_every_address(networks, every):
    client, server = networks
    with server.create_server((every, 80)) as listener, client.create_connection((SERVER, 80)) as near:
        assert listener.accept()[1] == near.getsockname()
        with client.socket() as nowhere, pytest.raises(OSError, match="unreachable"):
            nowhere.connect((every, 80))


def test_names_are_looked_up(networks):
    with networks[0].socket() as near, pytest.raises(socket.gaierror):
        near.connect(("name.invalid", 80))


def test_a_name_stands_for_an_address_of_the_sockets_family(networks, monkeypatch):
    """Where it has one; else for the other one."""
    both = [(socket.AF_INET6, 0, 0, "", ("fd00::7", 0, 0, 0)), (socket.AF_INET, 0, 0, "", (CLIENT, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: both)
    with networks[0].socket() as four, networks[0].socket(socket.AF_INET6) as six:
        four.bind(("both.example", 0))
        assert four.getsockname()[0] == CLIENT
        with pytest.raises(OSError, match="Cannot assign"):
            six.bind(("both.example", 0))
        del both[0]
        six.bind(("four.example", 0))
        assert six.getsockname()[0] == CLIENT


class Pages(threading.Thread):
    """Answers one HTTP request."""

    def __init__(self, listener, body):
        super().__init__()
        self.listener, self.body = listener, body
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as file:
            self.request = file.readline()
            while file.readline().strip():
                pass
            file.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.body) + self.body)


def test_unchanged_clients_of_the_standard_library(networks, monkeypatch):
    """urllib and http.client, which make their connections with `socket.create_connection`."""
    client, server = networks
    body = bytes(range(256)) * 2000
    monkeypatch.setattr(socket, "create_connection", client.create_connection)
    monkeypatch.setenv("no_proxy", "*")
    with server.create_server(("", 80)) as listener:
        pages = Pages(listener, body)
        with urllib.request.urlopen(f"http://{SERVER}/page", timeout=10) as answer:
            assert answer.read() == body
        pages.join(5)
        assert pages.request == b"GET /page HTTP/1.1\r\n"
        pages = Pages(listener, body)
        connection = http.client.HTTPConnection(SERVER, source_address=(CLIENT, 0))
        connection.request("GET", "/")
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert connection.getresponse().read() == body
        connection.close()
        pages.join(5)
    with pytest.raises(urllib.error.URLError, match="Connection refused"):
        urllib.request.urlopen(f"http://{SERVER}/", timeout=10)
    with pytest.raises(socket.gaierror):
        client.create_connection(("name.invalid", 80))


def test_connections_beyond_the_backlog_wait_until_some_are_accepted(networks):
    """As with Linux one more than the backlog is established; who comes then is not heard before there is room."""
    client, server = networks
    with server.socket() as listener:
        listener.bind(("", 80))
        listener.listen(1)
        near = [client.socket() for _ in range(3)]
        for one in near[:2]:
            one.connect((SERVER, 80))
        late = threading.Thread(target=near[2].connect, args=((SERVER, 80),))
        late.start()
        while not server.counters["TcpExtListenOverflows"]:
            time.sleep(0.001)
        assert late.is_alive()
        for _ in range(3):
            listener.accept()
        late.join(10)
        assert not late.is_alive()
        for one in near:
            one.close()
