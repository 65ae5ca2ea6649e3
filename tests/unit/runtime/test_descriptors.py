"""What blocking sockets owe to their real descriptors: signals, back-pressure, errors, fork, what was forgotten."""

import contextlib
import errno
import gc
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from .conftest import SERVER

NEVER_LINGER = struct.pack("ii", 1, 0)


class Alarm(Exception):
    pass


@pytest.fixture
def interrupted():
    """Calls something that a signal's handler ends with an exception while it waits."""

    def ring(*_):
        raise Alarm

    def call(what):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            what()

    before = signal.signal(signal.SIGALRM, ring)
    yield call
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "call",
    [
        lambda near: near.recv(100),
        lambda near: near.recv_into(bytearray(100)),
        lambda near: near.recv(100, socket.MSG_WAITALL),
        lambda near: near.makefile("rb").readline(),
    ],
)
def test_what_an_interrupted_call_waited_for_is_for_the_next_one(connected, interrupted, call):
    near, far = connected
    interrupted(lambda: call(near))
    far.sendall(b"hello")
    assert near.recv(100) == b"hello"


def test_an_interrupted_accept_leaves_the_connection_to_the_next_one(networks, interrupted):
    client, server = networks
    with server.create_server(("", 80)) as listener:
        interrupted(listener.accept)
        with client.create_connection((SERVER, 80)) as near, listener.accept()[0] as far:
            assert far.getpeername() == near.getsockname()


def test_an_interrupted_sendall_sends_nothing_more(connected, interrupted):
    """What it has given away arrives, and then what is sent next."""
    near, far = connected
    interrupted(lambda: near.sendall(bytes(5_000_000)))
    sender = threading.Thread(target=lambda: (near.sendall(b"next"), near.close()))
    sender.start()
    with far.makefile("rb") as received:
        data = received.read()
    sender.join()
    assert data.endswith(b"next")
    assert not any(data[:-4])
    assert len(data) < 1_000_000


def test_a_handler_that_returns_does_not_end_a_call(connected):
    """PEP 475."""
    near, far = connected
    before = signal.signal(signal.SIGALRM, lambda *_: far.sendall(b"from the handler"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert near.recv(100) == b"from the handler"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_close_that_lingers_is_interrupted(connected, interrupted):
    """It is closed nevertheless, and what was sent arrives."""
    near, far = connected
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    near.settimeout(0.5)
    with pytest.raises(TimeoutError):
        near.sendall(bytes(5_000_000))
    interrupted(near.close)
    assert near.fileno() == -1
    with far.makefile("rb") as received:
        assert received.read()


def test_an_interrupted_connect_goes_on(networks, interrupted):
    """As with Linux: it can be waited for by polling."""
    client, server = networks
    with client.socket() as near:
        deaf = threading.Event()
        server.loop.call_soon_threadsafe(server.loop.remove_reader, server.loop.network.device.fileno())
        server.loop.call_soon_threadsafe(deaf.set)
        deaf.wait(10)
        interrupted(lambda: near.connect((SERVER, 80)))
        assert select.select([], [near], [], 0)[1] == []
        near.setblocking(False)
        assert near.connect_ex((SERVER, 80)) == errno.EALREADY


# --- how much is under way


def test_who_does_not_read_stops_the_sender(connected):
    """Both buffers of the stack, 100 kB each, and as much in each pair of descriptors."""
    near, far = connected
    near.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 1_000_000:
            sent += near.send(bytes(10_000))
    assert 200_000 < sent < 700_000
    near.setblocking(True)
    received = 0
    while received < sent:
        received += len(far.recv(1 << 16))


# --- how it ends


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NEVER_LINGER)
    sock.close()


def readable(sock):
    assert select.select([sock], [], [], 5)[0]


@pytest.mark.parametrize("half_closed", [False, True])
def test_a_reset_is_read_after_what_came_before(connected, half_closed):
    near, far = connected
    if half_closed:
        near.shutdown(socket.SHUT_WR)
    far.sendall(b"data")
    readable(near)
    reset(far)
    assert near.recv(100) == b"data"
    with pytest.raises(ConnectionResetError):
        near.recv(100)
    assert near.recv(100) == b""


def test_a_reset_after_the_end_is_none_for_who_reads(connected):
    """And the connection has no peer any more, by which the standard library sees that TLS never began."""
    near, far = connected
    far.sendall(b"data")
    far.shutdown(socket.SHUT_WR)
    ended = select.poll()
    ended.register(near, select.POLLRDHUP)
    assert ended.poll(20_000)
    reset(far)
    assert select.select([], [near], [], 5)[1]
    with pytest.raises(BrokenPipeError):
        near.sendall(bytes(10_000_000))
    assert near.recv(100) == b"data"
    assert near.recv(100) == b""
    with pytest.raises(OSError, match="not connected"):
        near.getpeername()


def test_who_was_reset_before_it_was_accepted(networks):
    client, server = networks
    with server.create_server(("", 80)) as listener, client.create_connection((SERVER, 80)) as near:
        name = near.getsockname()
        reset(near)
        while server.loop.network.stack.connections:
            time.sleep(0.001)
        far, peer = listener.accept()
        with far, pytest.raises(ConnectionResetError):
            far.recv(1)
        assert peer == name


def test_what_is_left_at_closing_needs_no_application(connected, networks):
    """More than the connection's buffer holds; the descriptors are gone at once."""
    near, far = connected
    near.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        near.sendall(bytes(5_000_000))
    side = near._side
    near.close()
    while side.end.fileno() >= 0:
        time.sleep(0.001)
    with far.makefile("rb") as received:
        assert len(received.read()) > 150_000


def test_a_reset_ends_a_call_that_waits_to_send(connected):
    near, far = connected
    errors = []

    def send():
        try:
            near.sendall(bytes(5_000_000))
        except OSError as error:
            errors.append(error.errno)

    sender = threading.Thread(target=send)
    sender.start()
    readable(far)
    reset(far)
    sender.join(10)
    assert errors == [errno.ECONNRESET]


def test_the_descriptor_itself_tells_of_a_reset(connected):
    """For code that reads it without us, as TLS does."""
    near, far = connected
    reset(far)
    readable(near)
    with pytest.raises(ConnectionResetError):
        os.read(near.fileno(), 100)


def test_other_errors_have_their_numbers(connected, networks):
    near, _ = connected
    silent = OSError(errno.EHOSTUNREACH, "No route to host")
    networks[0].loop.call_soon_threadsafe(near._side.on_closed, silent)
    with pytest.raises(OSError, match="No route to host"):
        near.recv(100)


def test_closing_with_something_unread_is_a_reset(connected):
    near, far = connected
    far.sendall(b"unread")
    readable(near)
    near.sendall(b"what was written before still arrives")
    near.close()
    assert far.recv(100) == b"what was written before still arrives"
    with pytest.raises(ConnectionResetError):
        far.recv(100)


def test_ending_both_directions_is_an_orderly_end(connected):
    near, far = connected
    far.sendall(b"unread")
    readable(near)
    near.sendall(b"last words")
    near.shutdown(socket.SHUT_RDWR)
    assert far.recv(100) == b"last words"
    assert far.recv(100) == b""
    with pytest.raises(BrokenPipeError):
        near.send(b"x")


def test_both_directions_end_one_after_the_other(connected):
    near, far = connected
    far.sendall(b"a")
    far.shutdown(socket.SHUT_WR)
    assert near.recv(1) == b"a"
    assert near.recv(1) == b""
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NEVER_LINGER)
    near.sendall(bytes(300_000))
    near.shutdown(socket.SHUT_WR)
    with far.makefile("rb") as received:
        assert len(received.read()) == 300_000


def test_a_listener_that_closes_resets_what_it_has_not_accepted(networks):
    client, server = networks
    with server.create_server(("", 80)) as listener:
        near = client.create_connection((SERVER, 80))
        readable(listener)
    with near, pytest.raises(ConnectionResetError):
        near.recv(1)
    with server.create_server(("", 80)):
        pass


@pytest.mark.parametrize(
    ("end", "number"),
    [
        (lambda listener: listener.close(), errno.EBADF),
        (lambda listener: listener.shutdown(socket.SHUT_RDWR), errno.EINVAL),
    ],
)
def test_a_listener_that_ends_wakes_who_waits_for_connections(networks, end, number):
    errors = []

    def accept():
        try:
            listener.accept()
        except OSError as error:
            errors.append(error.errno)

    with networks[1].create_server(("", 80)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        while not listener._waiting:
            time.sleep(0.001)
        end(listener)
        thread.join(10)
        assert errors == [number]


def test_more_connections_than_one_pair_can_announce(networks):
    client, server = networks
    with server.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("", 80))
        listener.listen()
        near = [client.create_connection((SERVER, 80)) for _ in range(50)]
        far = [listener.accept()[0] for _ in near]
        assert {one.getsockname() for one in near} == {one.getpeername() for one in far}
        for one in near + far:
            one.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_killed_ends_every_call(connected, networks):
    near, far = connected
    client, server = networks
    with server.create_server(("", 81)) as listener:
        client.loop.call_soon_threadsafe(sys.exit)
        server.loop.call_soon_threadsafe(sys.exit)
        for call in (
            lambda: near.recv(1),
            lambda: near.send(b"x"),
            lambda: near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            client.socket,
            listener.accept,
        ):
            with pytest.raises(OSError, match="Network is down"):
                call()
    readable(far)


# --- other owners


def test_a_child_process_reads_and_writes(connected, networks):
    """Nothing else is possible there, and nothing hangs; closing there ends nothing here, and the other way round."""
    near, far = connected
    child = os.fork()
    if not child:
        status = 1
        try:
            far.close()
            assert near.recv(100) == b"question"
            for call in (networks[0].socket, lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER)):
                with pytest.raises(OSError, match="Network is down"):
                    call()
            near.sendall(b"answer")
            networks[0].close()
            status = 0
        finally:
            os._exit(status)
    near.close()
    far.sendall(b"question")
    assert far.recv(100) == b"answer"
    assert os.waitpid(child, 0)[1] == 0
    assert far.recv(100) == b""


def test_a_descriptor_goes_on_alone(connected):
    near, far = connected
    with socket.socket(fileno=near.detach()) as other:
        other.sendall(b"x")
        assert far.recv(1) == b"x"
    assert far.recv(1) == b""


def test_without_descriptors_connections_are_refused_and_counted(networks):
    """And there are some again as soon as descriptors are."""
    client, server = networks
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with server.create_server(("", 80)) as listener, client.socket() as near:
        lowest_free = os.dup(0)
        os.close(lowest_free)
        near.settimeout(10)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        try:
            for call in (client.socket, lambda: near.connect((SERVER, 80))):
                with pytest.raises(OSError, match="Too many open files"):
                    call()
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, before[1]))
            with contextlib.suppress(ConnectionResetError):
                near.connect((SERVER, 80))
                near.recv(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert server.counters["TcpExtListenDrops"] == 1
        with client.create_connection((SERVER, 80)) as near, listener.accept()[0] as far:
            assert far.getpeername() == near.getsockname()


def test_a_time_limit_of_the_kernel(connected):
    near, _ = connected
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 20_000))
    with pytest.raises(BlockingIOError):
        near.recv(1)


def test_inheritable(connected):
    near, _ = connected
    assert not near.get_inheritable()
    near.set_inheritable(True)
    assert near.dup().get_inheritable() is False
    assert near.get_inheritable()


def test_what_was_forgotten_is_closed_with_a_warning(connected, networks):
    client, server = networks
    with server.create_server(("", 81)) as listener:
        near = client.create_connection((SERVER, 81))
        far, _ = listener.accept()
        kept = [near]
        del near
        with pytest.warns(ResourceWarning, match=r"unclosed.*Socket.*raddr"):
            kept.clear()
        assert far.recv(1) == b""
        far.close()


def test_what_is_collected_in_the_network_s_thread_may_close_sockets(networks):
    """A finalizer there cannot wait for that very thread."""

    class Forgotten:
        def __init__(self, end):
            self.end, self.itself = end, self

        def __del__(self):
            closed_in.append(threading.current_thread())
            self.end.close()

    client, server = networks
    closed_in = []
    lingering, listener = client.socket(), server.socket()
    lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    listener.bind(("", 80))
    listener.listen()
    lingering.connect((SERVER, 80))
    gc.disable()
    try:
        for end in (lingering, listener):
            Forgotten(end)
        del end, lingering, listener
        for network in (client, server):
            network.loop.call_soon_threadsafe(gc.collect)
            network.create_server(("", 81)).close()  # it goes on
    finally:
        gc.enable()
    assert len(closed_in) == 2
    assert threading.current_thread() not in closed_in
    server.create_server(("", 80)).close()


def test_a_program_that_forgets_to_close_its_network():
    """It is closed at the exit; daemon threads that wait hear nothing of it."""
    program = """
import atexit, threading
atexit.register(lambda: print([one.loop.is_closed() for one in networks]))
from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import Network, SocketNetwork
from tests.unit.runtime.conftest import CLIENT, SERVER, stack_config
networks = [
    SocketNetwork(Network(stack_config(address), device, linger_s=0.1))
    for address, device in zip((CLIENT, SERVER), memory_pair())
]
listener = networks[1].create_server(("", 80))
near = networks[0].create_connection((SERVER, 80))
far, _ = listener.accept()
for waits in (listener.accept, lambda: near.recv(1), lambda: far.recv(1)):
    threading.Thread(target=waits, daemon=True).start()
"""
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=30)
    assert (ran.stdout, ran.stderr) == ("[True, True]\n", "")


def test_no_descriptor_is_left(networks):
    client, server = networks

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    with server.create_server(("", 80)) as listener:
        before = descriptors()
        for _ in range(20):
            with client.create_connection((SERVER, 80)) as near, listener.accept()[0] as far, client.socket():
                near.sendall(b"x")
                assert far.recv(1) == b"x"
        with client.socket() as refused, pytest.raises(ConnectionRefusedError):
            refused.connect((SERVER, 81))
        deadline = time.monotonic() + 5
        while descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.001)
        assert descriptors() == before
