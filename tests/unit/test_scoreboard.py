"""The order in which a sender repairs."""

from mptcp_stack.tcp.scoreboard import Record, Scoreboard

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
