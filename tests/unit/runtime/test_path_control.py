"""Path commands over a Unix socket, to two stacks with two paths between them."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from ipaddress import ip_address

import pytest

from mptcp_stack.events import LocalAddressAdded
from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import Network, SocketNetwork
from mptcp_stack.runtime.commands.path_control import CommandError, PathControl, ask, watch
from mptcp_stack.stack import Address, LocalAddress, StackConfig

from .test_cli import REPOSITORY
from .test_multipath import FAR, NEAR


@pytest.fixture
def controls(tmp_path):
    """The control sockets of a client and a server that are connected, and what serves them."""
    cable = memory_pair()
    networks, paths, served = [], [], []
    for ips, device in zip((NEAR, FAR), cable, strict=True):
        addresses = tuple(LocalAddress(ip_address(ip).packed, 24) for ip in ips)
        config = StackConfig(addresses=addresses, path_manager="userspace", time_wait_ns=10**6)
        networks.append(SocketNetwork(Network(config, device, linger_s=0.2)))
        paths.append(tmp_path / ips[0])
    with networks[0] as client, networks[1] as server:
        for network, path in zip(networks, paths, strict=True):
            served.append(PathControl(network.loop.driver))
            asyncio.run_coroutine_threadsafe(served[-1].serve(path), network.loop).result()
        with (
            server.create_server(("", 80)) as listener,
            client.create_connection((FAR[0], 80)) as near,
            listener.accept()[0] as far,
        ):
            near.sendall(b"hello")
            assert far.recv(5) == b"hello"
            yield paths, served


@pytest.fixture
def sockets(controls):
    """The control sockets of a client and a server that are connected."""
    return controls[0]


def until(path, *wanted):
    """Wait until `list` has lines with these words; those lines."""
    deadline = time.monotonic() + 5
    while True:
        found = [line for line in ask(path, "list") if all(word in line for word in wanted)]
        if found:
            return found
        assert time.monotonic() < deadline, ask(path, "list")
        time.sleep(0.01)


def test_a_path_is_announced_used_and_given_up(controls):
    (client, server), served = controls
    told = []
    watcher = threading.Thread(target=watch, args=(client, told.append), daemon=True)
    watcher.start()
    while not served[0]._watchers:
        time.sleep(0.01)
    assert until(client, "connection")[0].startswith(f"connection {NEAR[0]}:")
    assert ask(server, f"announce {FAR[1]}") == []
    until(client, "remote id 2", f"{FAR[1]}:80")
    ask(client, f"create {NEAR[1]} 2 backup")
    until(client, "subflow 1", NEAR[1], f"{FAR[1]}:80", "ESTABLISHED backup")
    until(server, "subflow 1", "backup")
    ask(client, "prio 1 regular")
    until(server, "subflow 1", "ESTABLISHED rtt")
    ask(client, "destroy 1")
    ask(server, f"remove {FAR[1]}")
    while not any(line.startswith("withdrawn id 2") for line in told):
        time.sleep(0.01)
    kinds = [line.split()[0] for line in told]
    assert kinds[-4:] == ["announced", "subflow_opened", "subflow_closed", "withdrawn"]
    assert len({line.split("token ")[1] for line in told}) == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("", "no command ''; there are list, monitor, announce, remove, create, destroy, prio"),
        ("create 10.0.1.1", "usage: create ADDRESS ID [backup] [token TOKEN]"),
        (f"create {NEAR[1]} 7", "the peer has no address 7; there are 0"),
        (f"create {NEAR[1]} 0 spare", "'spare': must be backup"),
        ("create 10.9.9.9 0", "Cannot assign requested address"),
        ("announce nothing", "'nothing' does not appear to be an IPv4 or IPv6 address"),
        ("destroy 5", "no subflow 5; there are 0"),
        ("prio x backup", "the subflow must be a number, not 'x'"),
        ("prio 0 some", "'some': must be backup or regular"),
        ("destroy 0 token 1", "which connection? token must be one of: 0x"),
        ("destroy 0 token x", "token must be a number, not 'x'"),
        ("destroy -1", "no subflow -1; there are 0"),
        (f"announce {NEAR[1]} 70000", "a port must be 1-65535, not 70000"),
        (f"announce {NEAR[1]} -1", "a port must be 1-65535, not -1"),
        (f"announce {NEAR[1]} 0", "a port must be 1-65535, not 0"),
        (f"announce {NEAR[1]} http", "the port must be a number, not 'http'"),
        ("announce fe80::1", "a link-local address is of no use beyond its link"),
        ("announce ::1 80", "Cannot assign requested address"),
        ("remove 10.9.9.9", "Cannot assign requested address"),
        (f"remove {NEAR[1]}", "Cannot assign requested address"),
        ("create fd00::1 0", "Address family not supported by protocol"),
        (f"create {NEAR[1]} 300", "the peer has no address 300; there are 0"),
        ("list everything", "no command 'list'; there are list,"),
        ("destroy 0\nlist", "a command is one line"),
        ("x" * 200_000, "a command is one line"),
    ],
)
def test_mistakes(sockets, command, reason):
    with pytest.raises(CommandError) as caught:
        ask(sockets[0], command)
    assert str(caught.value).startswith(reason)


def test_from_the_command_line(sockets, tmp_path):
    def call(*arguments):
        command = [sys.executable, "-m", "mptcp_stack", "paths", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        return done.returncode, done.stdout, done.stderr

    code, output, _ = call(sockets[0], "list")
    assert (code, output.splitlines()) == (0, ask(sockets[0], "list"))
    assert call(sockets[0], "destroy", "9") == (2, "", "mptcp_stack: no subflow 9; there are 0\n")
    assert call(tmp_path / "none", "list")[::2] == (1, f"mptcp_stack: {tmp_path / 'none'}: No such file or directory\n")


def raw(path, data):
    """What the socket answers to bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


@pytest.mark.parametrize("data", [b"a" * 200_000, b"a" * 200_000 + b"\n", b"\xff" * 5000 + b"\n"])
def test_a_line_without_end(sockets, data):
    assert raw(sockets[0], data) == b"error: a command is one line of at most 4096 bytes\n"
    assert raw(sockets[0], b"\xff\n").startswith(b"error: no command")
    assert raw(sockets[0], b"").startswith(b"error: no command")
    assert until(sockets[0], "connection")


def test_an_address_has_one_port_until_it_is_taken_back(sockets):
    client, server = sockets
    ask(server, f"announce {FAR[1]} 81")
    ask(server, f"announce {FAR[1]} 81")
    until(client, "remote id 2", f"{FAR[1]}:81")
    for other in ("", " 82"):
        with pytest.raises(CommandError, match="announced with port 81; take it back first"):
            ask(server, f"announce {FAR[1]}{other}")
    until(server, "local id 2", f"{FAR[1]}:81")
    ask(server, f"remove {FAR[1]}")
    ask(server, f"announce {FAR[1]} 82")
    until(client, "remote id 2", f"{FAR[1]}:82")


def test_an_exception_is_an_answer(networks_with_control, monkeypatch, caplog):
    """Never an empty answer, which would mean success."""
    _, path = networks_with_control
    monkeypatch.setattr(PathControl, "_connections", lambda *_: 1 / 0)
    with pytest.raises(CommandError, match="ZeroDivisionError"):
        ask(path, "list")
    assert "path command 'list'" in caplog.text


def test_who_monitors_and_does_not_read_is_let_go(networks_with_control):
    network, path = networks_with_control
    control = network.control
    with socket.socket(socket.AF_UNIX) as watcher:
        watcher.connect(str(path))
        watcher.sendall(b"monitor\n")
        while not control._watchers:
            time.sleep(0.01)

        async def connect():
            return network.loop.driver.connect(Address(ip_address(FAR[0]).packed, 80), None)

        connection = asyncio.run_coroutine_threadsafe(connect(), network.loop).result()
        event = LocalAddressAdded(connection, LocalAddress(bytes(4)))

        async def tell():
            for _ in range(1000):
                control._tell(event)

        for _ in range(200):
            asyncio.run_coroutine_threadsafe(tell(), network.loop).result()
        assert not control._watchers


@pytest.fixture
def networks_with_control(tmp_path):
    near, _ = memory_pair()
    path = tmp_path / "paths"
    config = StackConfig(addresses=(LocalAddress(ip_address(NEAR[0]).packed, 24),))
    with SocketNetwork(Network(config, near, linger_s=0.2)) as network:
        network.control = PathControl(network.loop.driver)
        asyncio.run_coroutine_threadsafe(network.control.serve(path), network.loop).result()
        yield network, path
