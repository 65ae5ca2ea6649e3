"""The schedulers, the congestion control and the path manager of `examples/` do what they say."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from examples.congestion_control import Scalable
from examples.path_manager import Spare
from examples.scheduler import InTurns, LargestWindow, WaitForFast
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Sink, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PATH, PORT, SERVER, UPLOAD, Scene, client_ip, impaired, make_scene, server_ip
from tests.sim.test_routed import ACCESS, routed

DOCUMENT = Path(__file__).parents[2] / "docs" / "stack.md"
MOST_LINES = 20


def named(kind: type) -> str:
    """How a user names a class."""
    return f"{kind.__module__}:{kind.__qualname__}"


@pytest.mark.parametrize("kind", [LargestWindow, InTurns, WaitForFast, Scalable, Spare])
def test_each_is_twenty_lines_at_the_most(kind: type) -> None:
    assert len(inspect.getsource(kind).splitlines()) + len(["import", "", ""]) <= MOST_LINES


def upload(scene: Scene, size: int) -> Source:
    """Send so many bytes to the server, and check what arrives."""
    client, server = Source((UPLOAD * 50)[:size]), Sink()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    scene.network.run_until(lambda: client.closed and server.closed, 120 * SECOND)
    assert bytes(server.received) == client.payload
    return client


def test_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two subflows with room it takes the one with the larger window."""
    select, choices = LargestWindow.select, set()

    def watched(self: Scheduler, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow:
        chosen: Subflow = select(self, subflows, burst_bytes)
        assert chosen.cwnd_bytes == max(subflow.cwnd_bytes for subflow in subflows)
        choices.add(len({subflow.cwnd_bytes for subflow in subflows}))
        return chosen

    monkeypatch.setattr(LargestWindow, "select", watched)
    slow = impaired(delay_ns=60 * MILLISECOND, rate_bps=40_000_000, queue_bytes=1_000_000)
    scene = make_scene(1, [impaired(queue_bytes=20_000), slow], scheduler=named(LargestWindow))
    client, server = Application(), Application()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    for piece in (UPLOAD, *[UPLOAD[:3000]] * 5):
        client.write(piece)
        scene.client.settle()
        scene.network.run_for(2 * SECOND)
    assert len(server.received) == len(UPLOAD) + 5 * 3000
    assert choices == {1, 2}, "both had room, and different windows"


def test_scheduler_that_keeps_something() -> None:
    """It evens out what both subflows are given, as far as the slow one has room."""
    paths = [replace(PATH, rate_bps=8_000_000), replace(PATH, rate_bps=2_000_000)]
    scene = make_scene(1, paths, scheduler=named(InTurns), opportunistic_retransmission=False)
    client = upload(scene, 600_000)
    first, second = (subflow.bytes_sent for subflow in client.connection.subflows[:2])
    assert min(first, second) > 100_000


def test_scheduler_that_waits() -> None:
    """It leaves to the fast subflow what that delivers sooner, and gives a share of much to the slow one."""
    paths = [replace(PATH, delay_ns=5 * MILLISECOND), replace(PATH, delay_ns=100 * MILLISECOND)]
    shares = {}
    for size in (30_000, 3_000_000):
        scene = make_scene(1, paths, scheduler=named(WaitForFast))
        client = upload(scene, size)
        fast, *slow = (subflow.bytes_sent for subflow in client.connection.subflows)
        shares[size] = sum(slow) / (fast + sum(slow))
    assert shares[30_000] == 0
    assert shares[3_000_000] > 0.2


def test_scheduler_that_waits_does_not_wait_for_a_backup() -> None:
    """A backup that is faster is not offered, has nothing under way, and so nothing would end the wait for it."""
    paths = [replace(PATH, delay_ns=40 * MILLISECOND), replace(PATH, delay_ns=5 * MILLISECOND)]
    backups = {"path_manager": "tests.sim.test_schedulers:FurtherAreBackups"}
    scene = make_scene(1, paths, scheduler=named(WaitForFast), client=backups)
    client, server = Application(), Application()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    for piece in (UPLOAD[:3000], b"1"):
        client.write(piece)
        scene.client.settle()
        scene.network.run_for(2 * SECOND)
    assert bytes(server.received) == UPLOAD[:3000] + b"1"


def test_every_field_of_a_subflow_that_is_told_of_is_there() -> None:
    rows = re.findall(r"^\| `subflow\.(.*?) \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"[a-z_]+(?=`)", row)]
    assert len(names) >= 11
    assert all(hasattr(Subflow, name) for name in names), names


def test_congestion_control() -> None:
    """Losses that have nothing to do with the rate hurt it less than reno."""
    path = replace(PATH, rate_bps=50_000_000, delay_ns=25 * MILLISECOND, loss=0.002, queue_bytes=400_000)
    times_ns = {}
    for congestion in ("reno", named(Scalable)):
        scene = make_scene(1, [path], mptcp=False, congestion=congestion)
        upload(scene, 8_000_000)
        times_ns[congestion] = scene.network.clock.now_ns
    assert times_ns[named(Scalable)] < 0.8 * times_ns["reno"]


def test_path_manager() -> None:
    network = routed(1, replace(ACCESS, rate_bps=1_000_000), path_manager=named(Spare))
    client, server = Source(UPLOAD * 5), Sink()
    network.hosts["server"].listen(Address(b"", PORT), lambda: server)
    network.hosts["client"].connect(Address(server_ip(1), PORT), client)
    network.run_for(300 * MILLISECOND)
    first, spare = client.connection.subflows
    assert (spare.local.ip, spare.remote.ip, spare.backup) == (client_ip(2), server_ip(1), True)
    spare.endpoint.abort(network.clock.now_ns)
    network.hosts["client"].settle()
    assert client.connection.subflows == [first]
    network.run_for(6 * SECOND)
    assert len(client.connection.subflows) == 2
    network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert bytes(server.received) == client.payload
