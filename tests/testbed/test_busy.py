"""The busiest thread of programs, among real ones."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from testbed.stacks.busy import SHORTEST_S, Threads


@pytest.fixture
def programs() -> Iterator[dict[str, int]]:
    """One that rests, and one whose child never does."""
    spin = [sys.executable, "-c", "while True: pass"]
    rests = subprocess.Popen(["sleep", "600"])
    works = subprocess.Popen(["sh", "-c", '"$@" & wait', "sh", *spin], start_new_session=True)
    yield {"rests": rests.pid, "works": works.pid}
    rests.kill()
    os.killpg(works.pid, signal.SIGKILL)
    for one in (rests, works):
        one.wait()


def test_a_thread_that_never_rests_is_the_busiest(programs: dict[str, int]) -> None:
    threads, began_ns = Threads(), time.monotonic_ns()
    while time.monotonic_ns() - began_ns < 2 * SHORTEST_S * 1e9:
        threads.look(programs)
        time.sleep(0.05)
    found = threads.busiest(began_ns, time.monotonic_ns())
    assert found["busiest_program"] == "works"
    assert 0.7 < found["busiest_thread_share"] <= 1
    assert threads.busiest(began_ns, began_ns + 10) == {}, "too short a time"
    assert Threads().busiest(began_ns, time.monotonic_ns()) == {}


def test_programs_that_have_ended_are_no_error() -> None:
    threads = Threads()
    threads.look({"gone": 2**22 + 1})
    assert threads.busiest(0, 10**10) == {}
