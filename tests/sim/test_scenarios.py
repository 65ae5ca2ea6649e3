"""Scenarios drawn at random, one for each seed: whatever the links, the sizes and the applications do.

More of them: `python -m tests.sim.test_scenarios FIRST COUNT` prints the seeds that fail.
"""

import sys
from collections.abc import Callable
from random import Random

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, LinkSpec, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, Scene, come_to_rest, exchange, make_scene
from tests.sim.settings import random_settings

SIZES = [0, 1, 3000, 60_000]
SEEDS = [*range(80), 40_663, 41_228]
"""The last two once answered each other's DATA_FIN for ever."""


def random_link(random: Random) -> LinkSpec:
    choice = random.choice
    start_ns = random.randrange(2 * SECOND)
    return LinkSpec(
        rate_bps=choice([None, 500_000, 2_000_000, 10_000_000, 100_000_000]),
        delay_ns=choice([0, 100_000, MILLISECOND, 10 * MILLISECOND, 150 * MILLISECOND]),
        queue_bytes=choice([4000, 10_000, 50_000, 300_000]),
        loss=choice([0, 0, 0.01, 0.05, 0.15]),
        reorder=choice([0, 0, 0.05, 0.3]),
        reorder_extra_ns=choice([1, 10, 60]) * MILLISECOND,
        duplicate=choice([0, 0, 0.05, 0.3]),
        corrupt=choice([0, 0, 0.02]),
        blackouts=choice([(), (), ((start_ns, start_ns + 1500 * MILLISECOND),)]),
    )


def random_scene(random: Random, seed: int) -> Scene:
    choice = random.choice
    links = [random_link(random) for _ in range(choice([1, 2, 2, 3]))]
    return make_scene(seed, links, coalesce_ns=choice([0, 0, 100_000, 3 * MILLISECOND]), **random_settings(random))


def random_reader(random: Random) -> dict[str, int]:
    slow = {"read_limit_bytes": 3000, "read_interval_ns": random.choice([1, 20, 100]) * MILLISECOND}
    return random.choice([{}, {}, slow])


class Wild(Application):
    """Ends its connection in any way, at any moment; at the latest after half a minute."""

    def __init__(self, random: Random, seed: int) -> None:
        super().__init__(**random_reader(random))
        self.payload = pattern(random.choice(SIZES), seed)
        self._when_written = random.choice(["shutdown", "shutdown", "close", "abort", "nothing"])
        self._at_eof = random.choice(["close", "close", "shutdown", "abort", "nothing"])
        self._surprise = random.choice(["close", "abort", "shutdown", "nothing", "nothing", "nothing"])
        self._surprise_ns = random.randrange(3 * SECOND)
        self._last = random.choice(["close", "abort"])

    def on_connected(self) -> None:
        self.host.call_later(self._surprise_ns, self._ending(self._surprise))
        self.host.call_later(30 * SECOND, self._ending(self._last))
        self.write(self.payload)
        self.finish(self._ending(self._when_written))

    def on_eof(self) -> None:
        self.finish(self._ending(self._at_eof))

    def _ending(self, how: str) -> Callable[[], None]:
        def end() -> None:
            if how != "nothing" and not self.closed:
                self._outgoing.clear()
                getattr(self.connection, how)()

        return end


def run_exchange(seed: int) -> None:
    random = Random(f"exchange {seed}")
    upload, download = (pattern(random.choice(SIZES), side) for side in (1, 2))
    exchange(random_scene(random, seed), upload, download, 1500 * SECOND, **random_reader(random))


def run_wild(seed: int) -> None:
    random = Random(f"wild {seed}")
    scene = random_scene(random, seed)
    servers: list[Wild] = []

    def accept() -> Wild:
        servers.append(Wild(random, 2))
        return servers[-1]

    scene.server.listen(Address(b"", PORT), accept, backlog=random.choice([1, 3, 128]))
    clients = [Wild(random, 1) for _ in range(random.choice([1, 1, 3, 8]))]
    for client in clients:
        scene.client.connect(SERVER, client)
    come_to_rest(scene, 3000 * SECOND)
    for application in (*clients, *servers):
        assert application.closed, scene.network.diagnosis("an application was never told of the end")
        side = 1 if application in servers else 2
        received = bytes(application.received)
        assert any(pattern(size, side).startswith(received) for size in SIZES)


RUNS = {"exchange": run_exchange, "wild": run_wild}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", RUNS)
def test_scenario(kind: str, seed: int) -> None:
    RUNS[kind](seed)


def main() -> None:
    first, count = map(int, sys.argv[1:])
    for seed in range(first, first + count):
        for kind, run in RUNS.items():
            try:
                run(seed)
            except Exception as error:
                print(kind, seed, type(error).__name__, str(error).partition("\n")[0])


if __name__ == "__main__":
    main()
