"""Blocking sockets' addresses and names, and what they are created with: as the standard library has it."""

import socket

import pytest

from .conftest import CLIENT, SERVER


def test_binding_decides(networks):
    client, _ = networks
    with client.socket() as one, client.socket() as two, client.socket() as three:
        one.bind((CLIENT, 0))
        port = one.getsockname()[1]
        assert port
        with pytest.raises(OSError, match="in use"):
            two.bind((CLIENT, port))
        with pytest.raises(OSError, match="in use"):
            two.bind(("", port))
        one.listen()
        assert one.getsockname() == (CLIENT, port)
        for bad in (70_000, -1):
            for call in (three.bind, three.connect):
                with pytest.raises(OverflowError, match="port must be 0-65535"):
                    call((CLIENT, bad))
        for bad in (-1, 1 << 20):
            with pytest.raises(OverflowError, match="flowinfo must be 0-1048575"):
                three.bind(("::", 0, bad))
        for bad in ("name", (CLIENT, "80"), (CLIENT,)):
            with pytest.raises(TypeError):
                three.bind(bad)
        three.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            three.bind((CLIENT, port))
        with pytest.raises(OverflowError):
            three.listen(1 << 31)
    with client.socket() as again:
        again.bind((CLIENT, port))
    with client.socket() as closed:
        socket.close(closed.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            closed.listen()
        closed.detach()


def test_an_address_that_both_share(networks):
    """With SO_REUSEADDR, until one of them listens; both connect from it."""
    client, server = networks
    with client.socket() as one, client.socket() as two, server.create_server(("", 80)), server.create_server(("", 81)):
        for sock, port in ((one, 80), (two, 81)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((CLIENT, 4000))
            sock.connect((SERVER, port))


def test_calls_with_addresses_and_messages(connected):
    near, far = connected
    far.sendall(b"abcdefghij")
    buffer = bytearray(2)
    assert near.recvfrom(2) == (b"ab", None)
    assert near.recvfrom_into(buffer) == (2, None)
    assert near.recvmsg(2) == (b"ef", [], 0, None)
    assert near.recvmsg_into([buffer]) == (2, [], 0, None)
    assert near.recv(10) == b"ij"
    assert near.sendto(b"a", (SERVER, 80)) == 1
    assert near.sendto(b"b", 0, (SERVER, 80)) == 1
    assert near.sendmsg([b"c", b"d"], [], socket.MSG_DONTWAIT) == 2
    assert far.recv(4, socket.MSG_WAITALL) == b"abcd"
    for call in (lambda: near.recv(-1), lambda: near.recv_into(buffer, -1), lambda: near.recv_into(buffer, 3)):
        with pytest.raises(ValueError, match="buffer"):
            call()
    with pytest.raises(OSError, match="Invalid argument"):
        near.shutdown(7)


def test_both_families_have_wildcards(networks):
    """As Linux has it: :: is both unless IPV6_V6ONLY is set, as `create_server` sets it."""
    client, server = networks
    both, one = {"family": socket.AF_INET6, "dualstack_ipv6": True}, {"family": socket.AF_INET6}
    with server.create_server(("", 80), **both) as listener:
        assert listener.getsockname() == ("::", 80, 0, 0)
        assert listener.family == socket.AF_INET6
        client.create_connection((SERVER, 80)).close()
        with pytest.raises(OSError, match="in use"):
            server.create_server(("0.0.0.0", 80))
    with server.create_server(("", 80), **one) as listener:
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with client.socket(socket.AF_INET6) as bound:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((CLIENT, 0))
            bound.listen()
            assert bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with pytest.raises(ConnectionRefusedError):
            client.create_connection((SERVER, 80))
        with server.create_server(("0.0.0.0", 80)):
            client.create_connection((SERVER, 80)).close()


def test_creating_like_the_standard_library(networks):
    client, server = networks
    with pytest.raises(ExceptionGroup) as caught:
        client.create_connection((SERVER, 80), all_errors=True)
    assert isinstance(caught.value.exceptions[0], ConnectionRefusedError)
    for wrong in ({"dualstack_ipv6": True}, {"reuse_port": True}):
        with pytest.raises(ValueError, match=r"AF_INET6|SO_REUSEPORT"):
            server.create_server(("", 80), **wrong)
    with pytest.raises(OSError, match="not supported"):
        client.socket(socket.AF_UNIX)
    with pytest.raises(OSError, match="not supported"):
        client.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client.socket(-1, -1, -1) as default:
        assert (default.family, default.type) == (socket.AF_INET, socket.SOCK_STREAM)
