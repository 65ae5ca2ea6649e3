"""Connections with settings of their own beside those of their stack (`Stack.customised`)."""

from collections import Counter
from typing import Any

import pytest

from mptcp_stack.congestion import Lia, Reno
from mptcp_stack.mptcp.path_manager import FullMesh
from mptcp_stack.mptcp.scheduler import LowestRtt
from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, UPLOAD, client_ip, come_to_rest, make_scene, server_ip


class Unused(LowestRtt):
    """A scheduler that refuses everything."""

    def select(self, subflows: Any, burst_bytes: int) -> None:
        return None


class NoJoins(FullMesh):
    def fill(self, now: int) -> None:
        pass


def test_a_connection_differs_from_its_stack_and_its_neighbours() -> None:
    run = make_scene(1)
    clients = [Source(UPLOAD) for _ in range(4)]
    servers: list[Sink] = []

    def accept() -> Sink:
        servers.append(Sink())
        return servers[-1]

    run.server.listen(Address(b"", PORT), accept)
    choices: list[dict[str, Any]] = [
        {},
        {"congestion": "reno"},
        {"path_manager": f"{__name__}:NoJoins"},
        {"mptcp": False},
    ]
    kinds: Counter[str] = Counter()
    connections = [
        run.client.connect(SERVER, client, **settings) for client, settings in zip(clients, choices, strict=True)
    ]
    run.client.stack.observe(lambda observation: kinds.update([type(observation).__name__]))
    run.network.run_for(200 * MILLISECOND)
    assert [type(connection.subflows[0].endpoint.control) for connection in connections] == [Lia, Reno, Lia, Lia]
    assert [len(connection.subflows) for connection in connections] == [2, 2, 1, 1]
    assert kinds["SubflowUp"] == 6
    assert [connection.number for connection in connections] == [1, 2, 3, 4]
    assert [connection.is_mptcp for connection in connections] == [True, True, True, False]
    run.network.run_until(lambda: all(server.closed for server in servers), 20 * SECOND)
    assert [bytes(server.received) for server in servers] == [UPLOAD] * 4
    come_to_rest(run)


def test_a_listener_s_settings_are_those_of_what_it_accepts() -> None:
    run = make_scene(1)
    run.server.listen(Address(b"", PORT), Sink, mptcp=False)
    client = Source(UPLOAD)
    connection = run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, 20 * SECOND)
    assert connection.is_plain


def test_a_scheduler_of_one_connection() -> None:
    run = make_scene(1)
    server, client = Sink(), Source(UPLOAD)
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client, scheduler=f"{__name__}:Unused")
    run.network.run_for(SECOND)
    assert not server.received


@pytest.mark.parametrize("side", ["client", "server"])
def test_local_addresses_can_be_restricted(side: str) -> None:
    """RFC 6897 section 6.3.3: neither announced nor joined from, and a join to one is refused."""
    run = make_scene(1)
    server, client = Sink(), Source(UPLOAD)
    only = {"client": frozenset([client_ip(1)]), "server": frozenset([server_ip(1)])}
    run.server.listen(Address(b"", PORT), lambda: server, local_ips=only["server"] if side == "server" else None)
    run.client.connect(SERVER, client, local_ips=only["client"] if side == "client" else None)
    run.network.run_until(lambda: client.closed, 20 * SECOND)
    assert bytes(server.received) == UPLOAD
    assert run.carried()[1] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"colour": "red"}, "colour: no such setting"),
        ({"scheduler": "none"}, "scheduler 'none': not one of"),
        ({"congestion": "none"}, "congestion control 'none': not one of"),
        ({"path_manager": "none"}, "path manager 'none': not one of"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    run = make_scene(1)
    with pytest.raises(ValueError, match=message):
        run.client.connect(SERVER, Sink(), **settings)
