"""What hostile peers and a long life may cost: memory and time, each with its limit.

The suite checks the same in small. `python -m tests.sim.resources [NAME ...]` measures at full size, which takes half
an hour for all, prints each figure beside its limit, and ends with 1 if one is missed.
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.sim import MILLISECOND, SECOND, Application, LinkSpec
from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.config import TcpConfig
from mptcp_stack.wire import ACK, Checksum, Dss, Options, Packet, Segment, encode
from tests.sim.attacks.hostile import Quiet, victim_of
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene

WINDOW_BYTES = TcpConfig().receive_buffer_bytes

FEW, MANY = 2_000, 200_000
SAMPLE = 1_000


class Deaf(Quiet):
    """Leaves unread whatever comes."""

    def handle_readable(self) -> None:
        pass


def content(start: int, end: int) -> bytes:
    """The bytes of the stream that such a peer sends a little of."""
    return bytes((offset ^ offset >> 8) & 0xFF for offset in range(start, end))


@dataclass
class Crumbs:
    """A peer that sends single bytes, each `spread` beyond the one before, to a server that does not read.

    Over MPTCP each has a mapping of its own; with `data_level` they are in order on the subflow, and spread over the
    connection only. What the server answers is lost.
    """

    scene: Scene
    spread: int
    data_level: bool = False
    sent: int = 0

    def __post_init__(self) -> None:
        (subflow,) = self.victim.subflows
        self._endpoint = subflow.endpoint
        receiver = subflow.endpoint.receiver
        self._first, self._ssn, self._start = receiver.next, receiver.next - receiver.irs, self.victim.receiving.next

    @property
    def victim(self) -> Connection:
        """The server's connection."""
        return victim_of(self.scene.server)

    @property
    def refused(self) -> int:
        """How many segments, or times, the server had no memory for what came before its turn."""
        counters = self.scene.server.stack.counters
        return counters["TcpExtTCPOFODrop"] + counters["MPTcpExtRcvPruned"]

    def _packet(self, offset: int, place: int, length: int) -> Packet:
        """The bytes from `offset` on of the stream, at `place` on the subflow; its checksum was verified."""
        endpoint = self._endpoint
        local, remote = endpoint.local, endpoint.remote
        options = Options(ts_val=endpoint.receiver.ts_recent)
        if self.victim.is_mptcp:
            dsn, ssn = self.victim.remote_key.dsn(self._start + offset), (self._ssn + place) & MASK_32
            options.dss = Dss(0, dsn=dsn, ssn=ssn, length=length)
        payload = [memoryview(content(offset, offset + length))]
        segment = Segment(
            remote.ip, local.ip, remote.port, local.port, (self._first + place) & MASK_32,
            endpoint.sender.scoreboard.next & MASK_32, ACK, 1000, options, payload, length,
        )  # fmt: skip
        return Packet([b"".join(encode(segment).parts)], checksum=Checksum.VALID)

    def _deliver(self, packet: Packet) -> float:
        """The processor time that the server takes for it (s)."""
        stack, clock = self.scene.server.stack, self.scene.network.clock
        clock.now_ns += 1000
        begin = time.process_time()
        stack.receive([packet], clock.now_ns)
        stack.transmit(clock.now_ns)
        spent = time.process_time() - begin
        while stack.next_event() is not None:
            pass
        return spent

    def send(self, count: int) -> float:
        """So many more crumbs; the processor time that the server takes for each (s)."""
        spent = 0.0
        for _ in range(count):
            offset = (self.sent + 1) * self.spread - 1
            spent += self._deliver(self._packet(offset, self.sent if self.data_level else offset, 1))
            self.sent += 1
        return spent / count

    def repeat(self) -> int:
        """Send everything from the first byte to the last crumb, as an honest peer does; how many bytes that are."""
        end = self.sent * self.spread
        for offset in range(0, end, 1000):
            self._deliver(self._packet(offset, offset + self.sent * self.data_level, min(1000, end - offset)))
        return end

    def send_until_full(self) -> int:
        """Until the window is full or something was refused; what is held then (bytes, as tracemalloc has it)."""
        gc.collect()
        tracemalloc.start()
        receiving = self.victim.receiving
        while receiving.window() > 0 and not self.refused:
            self.send(SAMPLE)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return held


def begin_crumbs(spread: int, *, mptcp: bool = False, data_level: bool = False, **server: int) -> Crumbs:
    """The connection of such a peer; ``server`` are settings of its victim."""
    scene = make_scene(1, [PATH], mptcp=mptcp, server=server)
    scene.server.listen(Address(b"", PORT), Deaf)
    scene.client.connect(SERVER, Quiet())
    scene.network.run_for(SECOND)
    scene.network.tracing = False
    crumbs = Crumbs(scene, spread, data_level)
    assert crumbs.victim.is_mptcp == mptcp
    return crumbs


CRUMBS = {
    "in order": (1, False, False),
    "in order, MPTCP": (1, True, False),
    "every other": (2, False, False),
    "every other, MPTCP": (2, True, False),
    "every other, of the connection": (2, True, True),
}
"""Name: `spread`, `mptcp`, `data_level`."""


@dataclass
class Figure:
    """Something measured, and what it may be at the most."""

    name: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        verdict = "ok" if self.value <= self.limit else "MISSED"
        return f"{self.name:62} {self.value:9.2f} of {self.limit:g} {self.unit:16} {verdict}"


def crumbs_memory() -> Iterator[Figure]:
    """Single bytes until the default window is full or something is refused."""
    for name, (spread, mptcp, data_level) in CRUMBS.items():
        held = begin_crumbs(spread, mptcp=mptcp, data_level=data_level).send_until_full()
        yield Figure(f"memory of single bytes, {name}", held / WINDOW_BYTES, 4, "windows")


def crumbs_time() -> Iterator[Figure]:
    """The time of a packet when many of them are held or were offered, beside that when few are."""
    for name, (spread, mptcp, data_level) in CRUMBS.items():
        crumbs = begin_crumbs(spread, mptcp=mptcp, data_level=data_level)
        times = []
        for held in (FEW, MANY):
            crumbs.send(held - SAMPLE // 2 - crumbs.sent)
            times.append(min(crumbs.send(SAMPLE // 5) for _ in range(5)))
        yield Figure(f"time of a packet with {MANY} single bytes sent, {name}", times[1] / times[0], 1.5, f"x at {FEW}")


def waiting(size: int) -> Connection:
    """A connection on which so many bytes wait to be read."""
    scene = make_scene(1, [LinkSpec(delay_ns=MILLISECOND)], mptcp=False)
    scene.server.listen(Address(b"", PORT), Deaf)
    client = Quiet()
    scene.client.connect(SERVER, client)
    scene.network.run_for(SECOND)
    client.write(bytes(size))
    scene.client.settle()
    scene.network.run_until(lambda: victim_of(scene.server).receive_ready == size, 60 * SECOND)
    return victim_of(scene.server)


def times_of_reading(connections: list[Connection], size: int) -> list[float]:
    """The time (s) that a `receive` of so many bytes takes on each of them, measured in turns, undisturbed."""

    def once(connection: Connection) -> float:
        begin = time.perf_counter()
        for _ in range(20):
            connection.receive(size)
        return (time.perf_counter() - begin) / 20

    rounds = [[once(connection) for connection in connections] for _ in range(50)]
    return [min(times) for times in zip(*rounds, strict=True)]


def reading() -> Iterator[Figure]:
    """Reading little from much and from little."""
    for size in (1, 40):
        little, much = times_of_reading([waiting(60_000), waiting(6_000_000)], size)
        yield Figure(f"time of receive({size}) with 6 MB waiting", much / little, 1.5, "x with 60 kB")


class Brief(Application):
    """Opens, says a word, and closes."""

    def on_connected(self) -> None:
        self.write(b"word")
        self.finish(self.connection.close)


def lives(**settings: object) -> Callable[[int], None]:
    """A server with one connection that stays open; what is returned opens and closes so many more beside it."""
    scene = make_scene(1, [LinkSpec(delay_ns=MILLISECOND)], keep_alive=True, **settings)
    network = scene.network
    network.tracing = False
    scene.server.listen(Address(b"", PORT), Application, backlog=1000)
    live = Application()
    scene.client.connect(SERVER, live)
    network.run_for(SECOND)

    def live_and_die(count: int) -> None:
        done = 0
        while done < count:
            for _ in range(min(100, count - done)):
                scene.client.connect(SERVER, Brief())
                done += 1
            network.run_for(SECOND)
        network.run_for(61 * SECOND)  # TIME-WAIT
        live.write(b"still here")
        scene.client.settle()
        network.run_for(SECOND)
        assert len(scene.server.stack.connections) == len(scene.client.stack.connections) == 1

    return live_and_die


def resident_bytes() -> int:
    """Of this process."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024


def churn() -> Iterator[Figure]:
    """Connections that open and close beside one that stays."""
    for mptcp in (True, False):
        live_and_die = lives(mptcp=mptcp)
        live_and_die(10_000)
        before = resident_bytes()
        live_and_die(90_000)
        grown = (resident_bytes() - before) / 1e6
        name = "MPTCP" if mptcp else "TCP"
        yield Figure(f"more memory after 100 000 connections than after 10 000, {name}", grown, 5, "MB")


MEASURED: dict[str, Callable[[], Iterator[Figure]]] = {
    "crumbs-memory": crumbs_memory,
    "crumbs-time": crumbs_time,
    "reading": reading,
    "churn": churn,
}


def main(names: list[str]) -> int:
    """Measure and print; how many figures miss their limits."""
    unknown = [name for name in names if name not in MEASURED]
    if unknown:
        print(f"{', '.join(unknown)}: not one of {', '.join(MEASURED)}", file=sys.stderr)
        return 2
    missed = 0
    for name in names or MEASURED:
        for figure in MEASURED[name]():
            print(figure, flush=True)
            missed += figure.value > figure.limit
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
