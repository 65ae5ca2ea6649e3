"""The addresses that a connection may use (RFC 6897 section 6.3.3), over blocking sockets with two paths."""

import errno
import time
from ipaddress import ip_address
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET
from struct import pack

import pytest

from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import (
    TCP_MULTIPATH_ADD,
    TCP_MULTIPATH_CONNID,
    TCP_MULTIPATH_PATH_MANAGER,
    TCP_MULTIPATH_REMOVE,
    TCP_MULTIPATH_SUBFLOWS,
    Network,
    SocketNetwork,
)
from mptcp_stack.stack import LocalAddress, StackConfig

NEAR = ("10.0.1.1", "10.0.2.1")
FAR = ("10.0.1.2", "10.0.2.2")


@pytest.fixture
def networks():
    cable = memory_pair()
    configs = [
        StackConfig(addresses=tuple(LocalAddress(ip_address(ip).packed, 24) for ip in ips), time_wait_ns=10**6)
        for ips in (NEAR, FAR)
    ]
    networks = [Network(config, device, linger_s=0.2) for config, device in zip(configs, cable, strict=True)]
    with SocketNetwork(networks[0]) as client, SocketNetwork(networks[1]) as server:
        yield client, server


@pytest.fixture
def near(networks):
    with networks[0].socket() as near:
        yield near


@pytest.fixture
def listener(networks):
    with networks[1].create_server(("", 80)) as listener:
        yield listener


def accept(listener, near):
    near.connect((FAR[0], 80))
    return listener.accept()[0]


def locals_of(one):
    return sorted(own[0] for own, _ in one.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_SUBFLOWS))


def becomes(addresses, one):
    """Wait until the subflows of a socket start from these addresses."""
    deadline = time.monotonic() + 5
    while locals_of(one) != sorted(addresses) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert locals_of(one) == sorted(addresses)


def remove(one, ip):
    """Take an address away; until the peer has confirmed the subflow from another one, that is EBUSY."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return one.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_REMOVE, (ip, 0))
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def exchange(near, far):
    near.sendall(b"there")
    assert far.recv(100) == b"there"
    far.sendall(b"and back")
    assert near.recv(100) == b"and back"


def test_all_addresses_unless_told_otherwise(near, listener):
    with accept(listener, near) as far:
        becomes(NEAR, near)
        becomes(FAR, far)
        assert far.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_CONNID) > 0


@pytest.mark.parametrize("what", ["bind", "add", "remove"])
def test_restricted_before_connecting(near, listener, what):
    {
        "bind": lambda: near.bind((NEAR[0], 0)),
        "add": lambda: near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, (NEAR[0], 0)),
        "remove": lambda: near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_REMOVE, [(NEAR[1], 0)]),
    }[what]()
    with accept(listener, near) as far:
        exchange(near, far)
        time.sleep(0.05)
        assert locals_of(near) == [NEAR[0]]
        # The restriction is lifted while the connection lives.
        near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, [(NEAR[1], 0)])
        becomes(NEAR, near)
        exchange(near, far)


def test_addresses_of_a_connection_that_is_over(networks, near, listener):
    """Options come too late then, and nothing goes wrong by them."""
    near.bind((NEAR[0], 0))
    with accept(listener, near) as far:
        exchange(near, far)
        far.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
    with pytest.raises(ConnectionResetError):
        near.recv(100)
    near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, (NEAR[1], 0))
    assert locals_of(near) == []


def test_added_beside_the_bound_one(near, listener):
    near.bind((NEAR[0], 0))
    near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, (NEAR[1], 0))
    with accept(listener, near):
        becomes(NEAR, near)


def test_a_listener_s_address_is_that_of_what_it_accepts(networks, near):
    with networks[1].create_server((FAR[0], 80)) as listener, accept(listener, near) as far:
        exchange(near, far)
        time.sleep(0.05)
        assert locals_of(far) == [FAR[0]]
        far.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, (FAR[1], 0))
        becomes(FAR, far)


def test_names_outlive_the_first_subflow(networks, near, listener):
    """RFC 6897 section 5.2.2; what is removed is taken back from the peer, and can be added again."""
    with accept(listener, near) as far:
        becomes(NEAR, near)
        becomes(FAR, far)
        names = near.getsockname(), near.getpeername(), far.getpeername()
        remove(near, NEAR[0])
        becomes(NEAR[1:], near)
        becomes(FAR[1:], far)
        exchange(near, far)
        assert networks[1].counters["MPTcpExtRmAddr"] == 1
        assert (near.getsockname(), near.getpeername(), far.getpeername()) == names
        assert names[0][0] == NEAR[0]
        near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, (NEAR[0], 0))
        becomes(NEAR, near)
        exchange(near, far)


@pytest.mark.parametrize(
    ("number", "ip", "code"),
    [
        (TCP_MULTIPATH_ADD, "10.9.9.9", errno.EADDRNOTAVAIL),
        (TCP_MULTIPATH_REMOVE, NEAR[1], errno.EADDRNOTAVAIL),
        (TCP_MULTIPATH_REMOVE, NEAR[0], errno.EINVAL),
    ],
)
def test_refused(near, listener, number, ip, code):
    near.bind((NEAR[0], 0))
    with accept(listener, near), pytest.raises(OSError) as caught:  # noqa: PT011
        near.setsockopt(IPPROTO_TCP, number, (ip, 0))
    assert caught.value.errno == code


def test_nothing_is_taken_away_before_another_subflow_is_there(near, listener):
    near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_PATH_MANAGER, "mptcp_stack.mptcp.path_manager:PathManager")
    with accept(listener, near) as far:
        with pytest.raises(OSError, match="busy"):
            near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_REMOVE, (NEAR[0], 0))
        exchange(near, far)
