"""What is held costs no more memory than it is charged with, and little pieces cost little more than their bytes."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from random import Random
from time import process_time
from timeit import repeat
from typing import TypeVar
from weakref import ref

import pytest

from mptcp_stack.storage import Reassembly, ReceiveQueue, SendQueue, Timers

HEADERS = 80
OBJECT_BYTES = 1000
"""Of what holds it, empty."""
Made = TypeVar("Made")


def received(length: int, memory: int = 0) -> memoryview:
    """Payload as a device gives it: behind its headers, and perhaps the rest of a larger segment."""
    return memoryview(bytes(max(memory, HEADERS + length)))[HEADERS:][:length]


def memory_of(make: Callable[[], Made]) -> tuple[int, Made]:
    """Bytes that what ``make`` returns keeps, and that itself."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held, made


def shuffled(places: range) -> list[int]:
    return Random(1).sample(places, len(places))


APART: dict[str, Iterator[tuple[int, int, int]]] = {
    "every other byte": ((2 * n, 1, 0) for n in range(1, 500)),
    "every other byte, from the end": ((2 * n, 1, 0) for n in range(500, 0, -1)),
    "every other byte, in no order": ((2 * n, 1, 0) for n in shuffled(range(1, 500))),
    "single bytes of large segments": ((2 * n, 1, 65_000) for n in range(1, 200)),
    "every other segment": ((2920 * n, 1460, 0) for n in range(1, 200)),
    "a little of large segments": ((2 * n, 2000, 65_000) for n in range(1, 20_000, 1000)),
    "longer and longer": ((n * n, 1 + n // 2, 0) for n in range(1, 300)),
}
"""Pieces with gaps between them: where they begin, their length, and the memory that they are a view of."""

TOUCHING: dict[str, Iterator[tuple[int, int, int]]] = {
    "one after the other": ((n, 1, 0) for n in range(1, 2000)),
    "from the end": ((n, 1, 0) for n in range(2000, 0, -1)),
    "in no order": ((n, 1, 0) for n in shuffled(range(1, 2000))),
    "every second and then those between": ((n, 1, 0) for n in (*range(1, 2000, 2), *range(2, 2000, 2))),
    "between, from the end": ((n, 1, 0) for n in (*range(1, 2000, 2), *range(2000, 0, -2))),
    "single bytes of large segments": ((n, 1, 65_000) for n in range(1, 300)),
    "shorter and shorter": ((start, length, 0) for start, length in
                            ((1 + sum(range(601 - n, 601)), 600 - n) for n in range(599))),
    "a byte between large pieces": ((1024 * n + 1 + part, 1 if part else 1023, 0) for n in range(30)
                                    for part in (0, 1023)),
}  # fmt: skip
"""Pieces that leave no gap but one at the beginning."""


@pytest.mark.parametrize("name", APART)
def test_what_waits_costs_no_more_than_it_is_charged(name: str) -> None:
    def hold() -> Reassembly:
        reassembly = Reassembly(-1)
        for start, length, memory in APART[name]:
            assert reassembly.insert(start, [received(length, memory)], length) == []
        return reassembly

    held, reassembly = memory_of(hold)
    assert held - OBJECT_BYTES <= reassembly.charge
    reassembly.forget()
    assert reassembly.charge == 0


@pytest.mark.parametrize("name", TOUCHING)
def test_pieces_that_touch_cost_little_more_than_their_bytes(name: str) -> None:
    def hold() -> Reassembly:
        reassembly = Reassembly(0)
        for start, length, memory in TOUCHING[name]:
            assert reassembly.insert(start, [received(length, memory)], length) == []
        return reassembly

    held, reassembly = memory_of(hold)
    assert len(reassembly.ranges) == 1
    assert held - OBJECT_BYTES <= reassembly.charge <= 3 * reassembly.held_bytes + 10_000
    waiting = reassembly.held_bytes
    assert sum(map(len, reassembly.insert(0, [received(1)], 1))) == waiting + 1
    assert reassembly.charge == 0


def test_the_farthest_is_shed_first() -> None:
    reassembly = Reassembly(0)
    for start in (7000, 1000, 3000, 4200, 5000):
        reassembly.insert(start, [received(1200)], 1200)
    charges = []
    while reassembly.charge:
        charges.append((reassembly.charge, list(reassembly.ranges)))
        reassembly.shed()
    assert [ranges[-1] for _, ranges in charges] == [(7000, 8200), (3000, 6200), (3000, 4200), (1000, 2200)]
    assert reassembly.held_bytes == 0
    assert reassembly.insert(0, [received(1000)], 1000)
    assert reassembly.next == 1000


IN_ORDER: dict[str, tuple[int, int]] = {
    "single bytes": (1, 0),
    "single bytes of large segments": (1, 65_000),
    "small": (100, 0),
    "as long as is joined": (1023, 0),
    "just too long to be joined": (1024, 0),
    "full segments": (1460, 0),
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_unread_bytes_cost_little_more_than_themselves(name: str) -> None:
    length, memory = IN_ORDER[name]

    def hold() -> ReceiveQueue:
        queue = ReceiveQueue()
        while queue.length < 4000:
            queue.extend([received(length, memory)])
        return queue

    held, queue = memory_of(hold)
    assert held <= 1.7 * queue.length + OBJECT_BYTES


def test_large_pieces_are_not_copied() -> None:
    buffers = [bytes(60_000) for _ in range(6)]
    queue, reassembly = ReceiveQueue(), Reassembly(0)
    queue.extend([memoryview(buffer)[70:] for buffer in buffers])
    assert [chunk.obj for chunk in queue.take(1 << 20)] == buffers
    for n, buffer in reversed(list(enumerate(buffers))):
        ordered = reassembly.insert(n * 59_930, [memoryview(buffer)[70:]], 59_930)
    assert all(chunk.obj is buffer for chunk, buffer in zip(ordered, buffers, strict=True))


def test_writes_of_single_bytes_that_wait_for_their_acknowledgement() -> None:
    def hold() -> SendQueue:
        queue = SendQueue(0)
        for n in range(4000):
            queue.append(memoryview(bytes([n & 0xFF])))
            assert queue.take(1) == [bytes([n & 0xFF])]
        return queue

    held, queue = memory_of(hold)
    assert held <= 1.7 * queue.queued_bytes + OBJECT_BYTES
    assert b"".join(queue.peek(700, 800)) == bytes(n & 0xFF for n in range(700, 800))


def time_of(action: Callable[[], object]) -> float:
    return min(repeat(action, number=10, repeat=30))


@pytest.mark.parametrize("length", [1, 1460])
def test_reading_little_costs_the_same_however_much_waits(length: int) -> None:
    """Limits far from both: what was quadratic missed them by a factor of a hundred."""
    few, many = ReceiveQueue(), ReceiveQueue()
    few.extend([received(length) for _ in range(1000)])
    many.extend([received(length) for _ in range(100_000)])
    assert time_of(lambda: many.take(1)) < 5 * time_of(lambda: few.take(1))
    assert time_of(lambda: many.peek(1)) < 5 * time_of(lambda: few.peek(1))


def test_what_is_peeked_is_what_is_taken() -> None:
    random = Random(1)
    data, queue, at = random.randbytes(5000), ReceiveQueue(), 0
    while at < len(data):
        size = random.choice([1, 2, 30, 1500])
        queue.extend([memoryview(data)[at : at + size]])
        at += size
    read = b""
    while queue.length:
        size = random.randrange(1, 90)
        peeked = b"".join(queue.peek(size))
        assert b"".join(queue.take(size)) == peeked == data[len(read) : len(read) + size]
        read += peeked


class Owner:
    """What a timer acts on."""

    def act(self, now: int) -> None: ...


@pytest.mark.parametrize("how", ["cancelled", "moved forward and cancelled"])
def test_timers_that_do_not_fire_keep_nothing_alive(how: str) -> None:
    timers = Timers()
    live = timers.timer(lambda _: None)
    live.set(10)
    owners = []
    for n in range(1000):
        owner = Owner()
        timer = timers.timer(owner.act)
        timer.set(10_000 + n)
        if how != "cancelled":
            timer.set(5000 + n)
        timer.cancel()
        owners.append(ref(owner))
    del owner, timer
    gc.collect()
    assert not any(owner() for owner in owners)
    assert len(timers._heap) < 100
    assert timers.next_deadline() == 10


def test_a_heap_of_cancelled_timers_shrinks_with_those_that_are_armed() -> None:
    timers = Timers()
    many = [timers.timer(lambda _: None) for _ in range(1000)]
    for n, timer in enumerate(many):
        timer.set(n)
    for timer in many[1:]:
        timer.cancel()
    assert len(timers._heap) < 100
    many[500].set(5000)
    assert timers.next_deadline() == 0
    assert timers.fire(5000) == 2


def test_many_pieces_over_many_pieces_take_time_once() -> None:
    """What came in many pieces meets what waits in many: what compared each with all took ten seconds."""
    reassembly, count = Reassembly(0), 10_000
    for n in range(count):
        reassembly.insert(1000 * n + 500, [received(1)], 1)
    chunks = [received(1000) for _ in range(count)]
    begin = process_time()
    assert reassembly.agrees(0, chunks)
    assert sum(map(len, reassembly.insert(0, chunks, 1000 * count))) == 1000 * count
    assert process_time() - begin < 2
