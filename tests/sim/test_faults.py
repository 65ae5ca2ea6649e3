"""Every fault of the table with settings drawn at random, and what must hold at every step of such a run.

More of them: `python -m tests.sim.test_faults FIRST COUNT` runs so many seeds of every fault and prints what fails.
"""

import sys
from dataclasses import dataclass
from random import Random

import pytest

from mptcp_stack.sim import SECOND, Application, Source, pattern
from mptcp_stack.stack import Stack
from mptcp_stack.tcp import Address, Endpoint
from tests.sim.faults import FAULTS
from tests.sim.scenes import PORT, SERVER, Scene, come_to_rest, make_scene
from tests.sim.settings import random_settings

SIZES = [1, 20_000, 150_000]
BOUND_NS = 3600 * SECOND
"""Of virtual time, until both sides are closed: enough for all retries of data on a dead path."""


MAY_SWALLOW_EVERY_SYN = ("burst loss", "everything")
"""A bad time ends with a packet: seven SYNs, the others far between, may all fall into one."""


class Watched(Source):
    """Compares what arrives with what was sent, as it arrives."""

    expected: bytes

    def on_data(self, data: bytes) -> None:
        start = len(self.received) - len(data)
        assert data == self.expected[start : start + len(data)], f"wrong bytes after {start}"


def run(fault: str, seed: int) -> None:
    """One transfer in both directions at once."""
    random = Random(f"{fault} {seed}")
    case = FAULTS[fault](random)
    settings = {**random_settings(random), **case.settings}
    must_arrive = case.must_arrive
    if fault == "second path dies" or not settings["mptcp"]:
        must_arrive = fault != "first path dies"
    scene = make_scene(seed, case.ways, middlebox=case.middleboxes, coalesce_ns=random.choice([0, 100_000]), **settings)
    uploaded, downloaded = (pattern(random.choice(SIZES), side) for side in (1, 2))
    client, servers = start(scene, uploaded, downloaded)
    watch = Watch(scene)
    while not (client.closed and all(server.closed for server in servers)):
        assert scene.network.clock.now_ns < BOUND_NS, scene.network.diagnosis("not closed within bound")
        assert scene.network.step(), scene.network.diagnosis("deadlock: nothing is left to happen")
        watch.check()
    if fault in MAY_SWALLOW_EVERY_SYN and not client.connected:
        assert isinstance(client.error, TimeoutError)
    elif must_arrive:
        for application in (client, *servers):
            assert application.error is None, scene.network.diagnosis(repr(application.error))
        assert bytes(servers[0].received) == uploaded, scene.network.diagnosis("upload not complete")
        assert bytes(client.received) == downloaded, scene.network.diagnosis("download not complete")
    come_to_rest(scene, BOUND_NS)


def start(scene: Scene, uploaded: bytes, downloaded: bytes) -> tuple[Watched, list[Watched]]:
    servers: list[Watched] = []

    def accept() -> Application:
        server = Watched(downloaded)
        server.expected = uploaded
        servers.append(server)
        return server

    scene.server.listen(Address(b"", PORT), accept)
    client = Watched(uploaded)
    client.expected = downloaded
    scene.client.connect(SERVER, client)
    return client, servers


@dataclass
class Watch:
    """What must hold for both stacks between any two events: nothing grows beyond what the settings allow."""

    scene: Scene

    def check(self) -> None:
        for host in (self.scene.client, self.scene.server):
            self._check_stack(host.stack)

    def _check_stack(self, stack: Stack) -> None:
        config = stack.config
        for connection in stack.connections:
            receiving, sending = connection.receiving, connection.sending
            held = receiving.queue.length + receiving._reassembly.held_bytes
            assert held <= config.receive_buffer_bytes, f"{held} bytes held"
            assert sending.queue.queued_bytes <= config.send_buffer_bytes
            assert sending.queue.base - sending.finished <= sending.queue.next <= sending.queue.end
            assert len(connection.subflows) <= config.max_subflows
            for subflow in connection.subflows:
                scoreboard = subflow.endpoint.sender.scoreboard
                assert 0 <= scoreboard.in_flight <= scoreboard.next - scoreboard.una
                assert subflow.endpoint.control.cwnd >= 1
        endpoints = [flow for flow in stack._flows.values() if type(flow) is Endpoint]
        assert len(endpoints) <= sum(len(connection.subflows) for connection in stack.connections)


SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, seed: int) -> None:
    run(fault, seed)


def main() -> None:
    first, count = map(int, sys.argv[1:])
    failed = 0
    for seed in range(first, first + count):
        for fault in FAULTS:
            try:
                run(fault, seed)
            except Exception as error:
                failed += 1
                print(f"{fault!r} {seed}: {type(error).__name__}: {str(error).partition(chr(10))[0]}", flush=True)
    print(
        f"{count * len(FAULTS) - failed} of {count * len(FAULTS)} scenarios hold (seeds {first} to {first + count - 1})"
    )


if __name__ == "__main__":
    main()
