"""What each scheduler is for, seen on paths that differ."""

from itertools import pairwise

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.path_manager.fullmesh import FullMesh
from mptcp_stack.mptcp.scheduler import SCHEDULERS
from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import DOWNLOAD, PATH, PORT, SERVER, UPLOAD, Scene, exchange, impaired, make_scene

WIFI = LinkSpec(rate_bps=8_000_000, delay_ns=10 * MILLISECOND, queue_bytes=80_000)
MOBILE = LinkSpec(rate_bps=2_000_000, delay_ns=75 * MILLISECOND, queue_bytes=500_000)
"""The WiFi and 3G of "How Hard Can It Be?" (Raiciu and others, NSDI 2012)."""

NEITHER: dict[str, object] = {"opportunistic_retransmission": False, "penalisation": False}
"""Without the mechanisms of that paper, which make the choice of a scheduler matter less."""


class FurtherAreBackups(FullMesh):
    """Every subflow but the first is a backup."""

    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        super().on_address_announced(address_id, remote, now)
        for subflow in self.connection.subflows[1:]:
            subflow.backup = True


def upload(run: Scene, length: int, limit_ns: int = 60 * SECOND) -> float:
    """Seconds until the server has read everything."""
    server = Sink()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, Source(pattern(length)))
    run.network.run_until(lambda: len(server.received) == length, limit_ns)
    assert bytes(server.received) == pattern(length)
    return run.network.clock.now_ns / SECOND


def goodput_bps(receive_buffer_bytes: int, seconds: int = 4, **config: object) -> float:
    """What arrives over WiFi and 3G together, after two seconds of beginning."""
    run = make_scene(1, [WIFI, MOBILE], receive_buffer_bytes=receive_buffer_bytes, **config)
    server = Sink()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, Source(pattern(20_000_000)))
    run.network.run_for(2 * SECOND)
    before = len(server.received)
    run.network.run_for(seconds * SECOND)
    return (len(server.received) - before) * 8 / seconds


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("specs", [[impaired(loss=0.02)] * 2, [WIFI, MOBILE]], ids=["lossy", "unequal"])
def test_everything_arrives(scheduler: str, specs: list[LinkSpec]) -> None:
    exchange(make_scene(1, specs, scheduler=scheduler), UPLOAD, DOWNLOAD)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("dark_path", [0, 1])
def test_a_path_dies(scheduler: str, dark_path: int) -> None:
    specs = [WIFI, MOBILE]
    specs[dark_path] = impaired(blackouts=((300 * MILLISECOND, 10**15),))
    exchange(make_scene(1, specs, scheduler=scheduler), pattern(600_000, 6), b"", limit_ns=300 * SECOND)


def share_of_first_path(scheduler: str) -> float:
    """Of a kilobyte every 5 ms, so little that no window decides, over paths of 10 and 40 ms."""
    specs = [impaired(delay_ns=delay * MILLISECOND) for delay in (5, 20)]
    run = make_scene(1, specs, scheduler=scheduler, nodelay=True)
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(b"")
    client.on_connected = lambda: None  # type: ignore[method-assign]
    run.client.connect(SERVER, client)
    for number in range(200):
        run.client.call_later(200 * MILLISECOND + number * 5 * MILLISECOND, lambda: client.write(bytes(1000)))
    run.network.run_for(2 * SECOND)
    return run.carried()[0] / sum(run.carried())


def test_round_robin_alternates() -> None:
    assert 0.48 < share_of_first_path("round-robin") < 0.52
    assert share_of_first_path("lowest-rtt") > 0.95


@pytest.mark.parametrize("scheduler", [name for name in SCHEDULERS if not SCHEDULERS[name].uses_backups])
def test_backup_carries_nothing_while_the_other_path_answers(scheduler: str) -> None:
    """RFC 8684 section 3.3.8, also while the regular path is full."""
    backups = {"path_manager": f"{__name__}:FurtherAreBackups"}
    run = make_scene(1, [WIFI, MOBILE], scheduler=scheduler, client=backups)
    upload(run, 1_000_000)
    assert run.carried()[1] < 3000


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_backup_takes_over(scheduler: str) -> None:
    backups = {"path_manager": f"{__name__}:FurtherAreBackups"}
    dark = impaired(blackouts=((300 * MILLISECOND, 3 * SECOND),))
    run = make_scene(1, [dark, MOBILE], scheduler=scheduler, client=backups)
    upload(run, 2_000_000)
    arrivals = [time_ns for time_ns, segment in run.segments("client") if segment.src[2] == 2 and segment.length]
    assert 300 * MILLISECOND < arrivals[0] < SECOND
    assert arrivals[-1] < 5 * SECOND, "and the regular path takes it back"


def test_backup_aware_calls_the_backup_at_the_first_loss() -> None:
    backups = {"path_manager": f"{__name__}:FurtherAreBackups"}
    carried = {}
    for scheduler in ("lowest-rtt", "backup-aware"):
        run = make_scene(1, [impaired(loss=0.03), MOBILE], scheduler=scheduler, client=backups)
        upload(run, 1_000_000)
        carried[scheduler] = run.carried()[1]
    assert carried["backup-aware"] > 20_000 > carried["lowest-rtt"]


def test_redundant_sends_everything_on_both_paths() -> None:
    run = make_scene(1, [impaired(), impaired()], scheduler="redundant")
    upload(run, 500_000)
    assert min(run.carried()) > 450_000


def longest_silence_ns(scheduler: str) -> int:
    """Between arrivals of new data at the application, when one of two paths goes dark."""
    dark = impaired(blackouts=((300 * MILLISECOND, 10**15),))
    run = make_scene(1, [dark, impaired()], scheduler=scheduler)
    times: list[int] = []

    class Watch(Sink):
        def on_data(self, data: bytes) -> None:
            times.append(run.network.clock.now_ns)

    server = Watch()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, Source(pattern(1_200_000)))
    run.network.run_until(lambda: len(server.received) == 1_200_000, 10 * SECOND)
    return max(after - before for before, after in pairwise(times))


def test_redundant_does_not_notice_that_a_path_dies() -> None:
    assert longest_silence_ns("redundant") < 30 * MILLISECOND
    assert longest_silence_ns("lowest-rtt") > 150 * MILLISECOND


def test_blest_leaves_the_slow_path_idle_when_the_window_is_small() -> None:
    assert goodput_bps(150_000, scheduler="blest", **NEITHER) > 1.06 * goodput_bps(150_000, **NEITHER)


def answer_ns(scheduler: str, length: int) -> int:
    """From the request to the last byte of a later answer, over paths of 20 and 200 ms."""
    run = make_scene(1, [PATH, impaired(rate_bps=4_000_000, delay_ns=100 * MILLISECOND)], scheduler=scheduler)
    client, server = Source(b""), Source(b"")
    client.on_connected = server.on_connected = lambda: None  # type: ignore[method-assign]
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    for number in range(1, 6):
        run.network.run_for(SECOND)
        began_ns = run.network.clock.now_ns
        server.write(bytes(length))
        run.server.settle()
        run.network.run_until(lambda wanted=number * length: len(client.received) == wanted, 10 * SECOND)
    return run.network.clock.now_ns - began_ns


@pytest.mark.parametrize("length", [20_000, 30_000, 50_000])
def test_ecf_keeps_the_end_of_an_answer_on_the_fast_path(length: int) -> None:
    """However little is left, on the slow one it takes all of its round trip."""
    assert answer_ns("ecf", length) < 90 * MILLISECOND < answer_ns("lowest-rtt", length)


def test_ecf_does_not_wait_for_the_slow_path_at_the_end() -> None:
    took_s = {name: upload(make_scene(1, [WIFI, MOBILE], scheduler=name), 2_000_000) for name in ("lowest-rtt", "ecf")}
    assert took_s["ecf"] < 0.92 * took_s["lowest-rtt"]


class SilentScheduler(SCHEDULERS["lowest-rtt"]):  # type: ignore[misc]
    """Waits for ever, or so it means."""

    def select(self, subflows: object, burst_bytes: int) -> None:
        return None


def test_a_scheduler_that_never_decides_harms_itself_only() -> None:
    run = make_scene(1, client={"scheduler": f"{__name__}:SilentScheduler"})
    client = Source(pattern(1000))
    run.server.listen(Address(b"", PORT), Sink)
    connection: Connection = run.client.connect(SERVER, client)
    run.network.run_for(30 * SECOND)
    assert connection.sending.unsent_bytes == 1000
    assert len(run.network.trace) < 60
