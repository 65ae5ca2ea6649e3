"""Mappings with checksums: the one whose checksum is right counts, whatever the others say."""

from dataclasses import replace
from random import Random

import pytest

from mptcp_stack.mptcp.keys import KEY_BYTES, Key
from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.mptcp.subflow.checksum_queue import ChecksumQueue

STREAM = bytes(Random(1).randrange(256) for _ in range(4000))
KEY = Key(bytes(KEY_BYTES))


def mapping(ssn: int, length: int, data_fin: bool = False) -> Mapping:
    """An honest one: byte ``ssn`` of the subflow is STREAM[ssn - 1]."""
    made = Mapping(ssn, ssn + 10_000, length, data_fin)
    return replace(made, checksum=made.checksum_of([memoryview(STREAM)[ssn - 1 : ssn - 1 + length]], KEY))


def arrive(queue: ChecksumQueue, start: int, end: int) -> None:
    queue.append([memoryview(STREAM)[start - 1 : end - 1]])


def verified(queue: ChecksumQueue) -> list[Mapping]:
    """What the checksums say, as the subflow asks."""
    found = []
    while one := next(filter(queue.is_whole, queue.candidates()), None):
        whole = queue.peek(one.length)
        if one.verifies(whole, KEY):
            found.append(one)
            queue.drop(one.length)
        else:
            queue.refute(one)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_damaged_copies_do_not_hide_the_right_one(seed: int) -> None:
    random = Random(seed)
    queue = ChecksumQueue()
    honest, ssn = [], 1
    while ssn < 3500:
        length = random.randrange(1, 400)
        honest.append(mapping(ssn, length))
        ssn += length
    for one in honest:
        copies = [one]
        for _ in range(random.randrange(4)):
            field = random.choice(["ssn", "dsn", "length", "checksum"])
            copies.append(replace(one, **{field: getattr(one, field) ^ 1 << random.randrange(12)}))
        random.shuffle(copies)
        for copy in copies:
            if copy.length:
                queue.add(copy)
        if random.random() < 0.3:
            arrive(queue, one.ssn, one.end)
            assert verified(queue)[-1:] == [one]
        else:
            half = one.ssn + one.length // 2
            arrive(queue, one.ssn, half)
            before = verified(queue)
            arrive(queue, half, one.end)
            assert (before + verified(queue))[-1:] == [one]
    assert queue.length == 0


def test_a_length_that_reaches_into_the_next_mapping_is_cut() -> None:
    queue = ChecksumQueue()
    first = mapping(1, 500)
    queue.add(replace(first, length=3000))
    arrive(queue, 1, 501)
    assert verified(queue) == []
    queue.add(mapping(501, 100))
    assert verified(queue) == [first]


def test_cuts_are_bounded() -> None:
    """Else a peer that announces a mapping for each byte of another made all of them be summed again each time."""
    queue = ChecksumQueue()
    for number in range(8):
        queue.add(replace(mapping(1, 3000), dsn=number, length=65535))
    arrive(queue, 1, 3001)
    for ssn in range(3000, 2000, -1):
        queue.add(mapping(ssn, 1))
        assert verified(queue) == []
    assert len(queue.refuted) < 100


def test_what_contradicts_is_reported_and_kept_up_to_a_limit() -> None:
    queue = ChecksumQueue()
    assert queue.add(mapping(1, 500))
    assert queue.add(mapping(1, 500))
    assert not queue.add(replace(mapping(1, 500), dsn=7))
    assert not queue.add(mapping(400, 500))
    assert queue.add(mapping(900, 100))
    for number in range(100):
        queue.add(replace(mapping(1, 500), dsn=number))
    assert len(queue.candidates()) <= 2 * 8


def test_covers() -> None:
    queue = ChecksumQueue()
    queue.add(mapping(1, 500))
    queue.add(mapping(600, 100))
    said = [*range(1, 501), *range(600, 700)]
    assert [byte for byte in range(1, 1000) if queue.covers(byte)] == said
    arrive(queue, 1, 501)
    verified(queue)
    assert [byte for byte in range(1, 1000) if queue.covers(byte)] == said


def test_one_that_comes_too_late_is_forgotten() -> None:
    queue = ChecksumQueue()
    queue.add(mapping(1, 500))
    arrive(queue, 1, 501)
    verified(queue)
    queue.add(mapping(1, 500))
    queue.add(mapping(400, 500))
    assert queue.candidates() == []
    assert queue.may_be_mapped
