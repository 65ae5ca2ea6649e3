"""The order in which a sender repairs."""

from random import Random

import pytest

from mptcp_stack.tcp.scoreboard import Delivery, Record, Scoreboard

MSS = 1000


def sent(board: Scoreboard, count: int) -> list[Record]:
    records = []
    for _ in range(count):
        seq = board.next
        record = Record(seq, seq + MSS, [memoryview(bytes(MSS))], MSS, 0, None)
        board.append(record)
        records.append(record)
    return records


def test_timeout_repairs_from_the_first_byte() -> None:
    """Records lost before and resent ones that are lost again are sent in order of sequence, the oldest first."""
    board = Scoreboard(0)
    records = sent(board, 6)
    for record in records:
        board.mark_lost(record)
    for record in records[:3]:
        assert board.next_lost() is record
        board.resend(record)
    board.mark_all_lost()
    order = []
    while (record := board.next_lost()) is not None:
        order.append(record.seq)
        board.resend(record)
    assert order == [record.seq for record in records]
    assert board.in_flight == 6 * MSS


def test_selected_records_are_not_repaired() -> None:
    board = Scoreboard(0)
    sent(board, 4)
    delivered: list[Record] = []
    board.select([(MSS, 2 * MSS + 500)], delivered)
    assert [(record.seq, record.end) for record in delivered] == [(MSS, 2 * MSS), (2 * MSS, 2 * MSS + 500)]
    board.mark_all_lost()
    assert board.in_flight == 0
    lost = []
    while (record := board.next_lost()) is not None:
        lost.append((record.seq, record.end))
        board.resend(record)
    assert lost == [(0, MSS), (2 * MSS + 500, 3 * MSS), (3 * MSS, 4 * MSS)]


def test_partial_acknowledgement_splits_and_keeps_the_mapping() -> None:
    board = Scoreboard(0)
    record = Record(0, 3 * MSS, [memoryview(bytes(range(250)) * 12)], 3 * MSS, 0, "mapping")
    board.append(record)
    delivered: list[Record] = []
    board.acknowledge(MSS + 1, delivered)
    assert sum(one.size for one in delivered) == MSS + 1
    rest = board.first
    assert rest is not None
    assert (rest.seq, rest.length, rest.mapping) == (MSS + 1, 2 * MSS - 1, "mapping")
    assert b"".join(rest.chunks) == (bytes(range(250)) * 12)[MSS + 1 :]
    assert board.in_flight == 2 * MSS - 1


BURST = 64 * MSS


def flooded() -> tuple[Scoreboard, list[Record]]:
    """40 bursts of which the peer has selected single bytes, as many as it could (CVE-2019-11478)."""
    board = Scoreboard(0)
    for _ in range(40):
        board.append(Record(board.next, board.next + BURST, [memoryview(bytes(BURST))], BURST, 0, None))
    delivered: list[Record] = []
    for start in Random(1).sample(range(1, board.next - 1, 2), 10_000):
        board.select([(start, start + 1)], delivered)
    return board, delivered


def check(board: Scoreboard) -> None:
    """What it counts is what its records say, and they are all that is outstanding."""
    records = list(board)
    assert [record.seq for record in records] == [board.una, *(record.end for record in records[:-1])]
    for delivery, size in ((Delivery.SACKED, board.sacked.total), (Delivery.IN_FLIGHT, board.in_flight)):
        assert sum(record.size for record in records if record.delivery is delivery) == size


def test_a_flood_of_selected_bytes_makes_no_more_records_than_full_segments_do() -> None:
    board, delivered = flooded()
    assert len(list(board)) <= 256 + 40 * BURST // 1024 + 10
    assert board.sacked.total == sum(record.size for record in delivered) > 1000
    check(board)


def test_in_a_flood_whole_records_are_still_selected() -> None:
    """Of what a block has a part of, nothing: at worst it is sent again."""
    board, _ = flooded()
    whole, following = [record for record in board if record.delivery is Delivery.IN_FLIGHT and record.size > 2][:2]
    delivered: list[Record] = []
    board.select([(whole.seq + 1, whole.end)], delivered)
    assert delivered == []
    board.select([(whole.seq, following.seq + 2)], delivered)
    assert [record for record in delivered if record.size > 1] == [whole]
    assert following.delivery is Delivery.IN_FLIGHT
    check(board)
    board.select([(board.una + 1, board.next)], delivered)
    check(board)
    board.acknowledge(board.next, delivered)
    assert (board.in_flight, board.sacked.total, list(board)) == (0, 0, [])


@pytest.mark.parametrize(("size", "most"), [(1, 1100), (100, 1300), (1024, 100_000), (1460, 100_000)])
def test_small_segments_crowd_it_and_full_ones_do_not(size: int, most: int) -> None:
    board = Scoreboard(0)
    sent = 0
    while not board.crowded and sent < most:
        board.append(Record(board.next, board.next + size, [memoryview(bytes(size))], size, 0, None))
        sent += 1
    assert (sent < most) == (size < 1024)
