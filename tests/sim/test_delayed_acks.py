"""Which data are acknowledged at once, and which wait for a second segment (RFC 9293 section 3.8.6.3)."""

import pytest

from tests.sim.scenes import Scene, endpoint_of, forge, idle_scene

MSS = 1000


def after_the_first() -> Scene:
    """A connection of which the server delays acknowledgements: the client's first ones have all come at once."""
    run = idle_scene()
    while acknowledged_at_once(run, 0):
        pass
    run.network.run_for(200_000_000)
    return run


def acknowledged_at_once(run: Scene, offset: int) -> bool:
    """Whether a segment that comes to the server, `offset` beyond RCV.NXT, is."""
    receiver = endpoint_of(run.server).receiver
    return bool(forge(run, run.server, seq=receiver.next + offset, length=MSS))


def test_a_segment_waits_for_a_second() -> None:
    run = after_the_first()
    assert [acknowledged_at_once(run, 0) for _ in range(4)] == [False, True, False, True]


@pytest.mark.parametrize("beyond", [(1,), (2, 1), (1, 3), (1, 2, 4, 5)])
def test_what_fills_all_or_part_of_a_gap_does_not_wait(beyond: tuple[int, ...]) -> None:
    """RFC 5681 section 4.2: else who repairs a loss learns of it a round trip, or 40 ms, too late."""
    run = after_the_first()
    for segments in beyond:
        assert acknowledged_at_once(run, segments * MSS)
    receiver = endpoint_of(run.server).receiver
    while receiver.reassembly.charge:
        assert acknowledged_at_once(run, 0)


def test_what_follows_a_repaired_gap_does_not_wait_for_a_while() -> None:
    """The sender's window is small then: its odd segment would wait until the round trip after."""
    run = after_the_first()
    acknowledged_at_once(run, MSS)
    acknowledged_at_once(run, 0)
    assert [acknowledged_at_once(run, 0) for _ in range(12)] == [True] * 8 + [False, True] * 2


def test_a_gap_that_is_not_repaired_yet_uses_none_of_them_up() -> None:
    run = after_the_first()
    for segments in (1, 3, 5):
        acknowledged_at_once(run, segments * MSS)
    for _ in range(3):
        assert acknowledged_at_once(run, 0)
    assert [acknowledged_at_once(run, 0) for _ in range(10)] == [True] * 8 + [False, True]
