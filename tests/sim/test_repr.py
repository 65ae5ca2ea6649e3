"""What ``repr`` says of the stack's objects, from before they are made until after they have ended."""

from collections.abc import Callable

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.opening.listener import Listener
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Source
from mptcp_stack.stack import Stack
from mptcp_stack.tcp import Address, Endpoint
from mptcp_stack.texts import address_text, size_text
from tests.sim.scenes import PATH, PORT, SERVER, Scene, impaired, make_scene


def begin(scene: Scene, upload: bytes, for_ns: int) -> tuple[Connection, Listener]:
    listener = scene.server.listen(Address(b"", PORT), Application)
    connection = scene.client.connect(SERVER, Source(upload))
    scene.network.run_for(for_ns)
    return connection, listener


def test_a_transfer_under_way() -> None:
    scene = make_scene(1, [PATH, impaired(delay_ns=50 * MILLISECOND)])
    connection, listener = begin(scene, bytes(5_000_000), SECOND)
    assert repr(connection) == "<Connection 10.0.1.102:80 MPTCP v1, 2 subflows, 1.8 MB sent, 3.2 MB unsent>"
    first, second = connection.subflows
    assert repr(first).startswith("<Subflow 0 10.0.1.101:")
    assert " -> 10.0.1.102:80 ESTABLISHED, " in repr(first)
    assert repr(first).endswith(" sent, 0 B received>")
    second.backup = True
    assert " ESTABLISHED, backup, " in repr(second)
    assert repr(first.endpoint).endswith(" kB in flight>")
    assert repr(scene.client.stack) == "<Stack 10.0.1.101 and 1 more, 1 connection, 0 listeners>"
    assert repr(scene.server.stack) == "<Stack 10.0.1.102 and 1 more, 1 connection, 1 listener>"
    assert repr(listener) == "<Listener *:80, 0 half open, 0 to accept>"


def test_before_and_after() -> None:
    scene = make_scene(1, [PATH], mptcp=False)
    connection, listener = begin(scene, b"", 0)
    assert repr(connection) == "<Connection 10.0.1.102:80 TCP, 1 subflow, 0 B sent, 0 B unsent>"
    assert repr(connection.subflows[0].endpoint).endswith(" -> 10.0.1.102:80 SYN-SENT, 1 B in flight>")
    listener.accepting = False
    assert repr(listener).endswith(", not accepting>")
    scene.network.run_for(SECOND)
    assert repr(connection) == "<Connection 10.0.1.102:80 TCP, closed: Connection refused>"
    scene.client.remove_address(connection.local.ip)
    assert repr(scene.client.stack) == "<Stack without an address, 0 connections, 0 listeners>"


def test_mptcp_is_not_agreed_yet() -> None:
    connection, _ = begin(make_scene(1, [PATH]), b"", 0)
    assert repr(connection) == "<Connection 10.0.1.102:80 opening, 1 subflow, 0 B sent, 0 B unsent>"


@pytest.mark.pure("what is compiled is made whole or not at all")
@pytest.mark.parametrize("kind", [Stack, Connection, Subflow, Endpoint, Listener])
def test_half_built(kind: type) -> None:
    assert repr(kind.__new__(kind)) == f"<{kind.__name__} not made yet>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lambda: size_text(0), "0 B"),
        (lambda: size_text(999), "999 B"),
        (lambda: size_text(1000), "1.0 kB"),
        (lambda: size_text(9_949), "9.9 kB"),
        (lambda: size_text(9_960), "10 kB"),
        (lambda: size_text(999_499), "999 kB"),
        (lambda: size_text(999_500), "1.0 MB"),
        (lambda: size_text(3_100_000), "3.1 MB"),
        (lambda: size_text(10**18), "1000000 TB"),
        (lambda: address_text(bytes(15) + b"\1", 80), "[::1]:80"),
        (lambda: address_text(b"", 80), "*:80"),
    ],
)
def test_texts(text: Callable[[], str], expected: str) -> None:
    assert text() == expected
