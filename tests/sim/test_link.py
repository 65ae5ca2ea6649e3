"""One direction of a link, by itself."""

from random import Random

import pytest

from mptcp_stack.sim import MILLISECOND, Clock, Link, LinkSpec

PACKET = bytes(1000)


def link(spec: LinkSpec, seed: int = 1) -> Link:
    return Link(spec, Random(seed))


def test_rate_and_delay() -> None:
    path = link(LinkSpec(rate_bps=8_000_000, delay_ns=5 * MILLISECOND))
    assert path.transfer(PACKET, 0) == [(6 * MILLISECOND, PACKET)]
    assert path.transfer(PACKET, 0) == [(7 * MILLISECOND, PACKET)]
    assert path.transfer(PACKET, 10 * MILLISECOND) == [(16 * MILLISECOND, PACKET)]


def test_no_rate_is_no_queue() -> None:
    path = link(LinkSpec(delay_ns=3, queue_bytes=1))
    assert [path.transfer(PACKET, 0) for _ in range(3)] == [[(3, PACKET)]] * 3


def test_queue_is_counted_in_bytes_and_drops_the_tail() -> None:
    path = link(LinkSpec(rate_bps=8_000_000, queue_bytes=3000))
    assert [bool(path.transfer(PACKET, 0)) for _ in range(4)] == [True, True, True, False]
    assert path.transfer(PACKET, MILLISECOND), "one has left by now"
    assert path.counters.overflowed == 1
    assert path.counters.carried_bytes == 4000


def test_blackout_is_half_open() -> None:
    path = link(LinkSpec(blackouts=((10, 20), (30, 40))))
    assert [bool(path.transfer(PACKET, now)) for now in (9, 10, 19, 20, 35, 40)] == [1, 0, 0, 1, 0, 1]
    assert path.counters.blacked_out == 3


@pytest.mark.parametrize(("field", "counter"), [("loss", "lost"), ("duplicate", "duplicated")])
def test_probability(field: str, counter: str) -> None:
    path = link(LinkSpec(**{field: 0.2}))
    arrived = sum(len(path.transfer(PACKET, now)) for now in range(5000))
    happened = getattr(path.counters, counter)
    assert 850 < happened < 1150
    assert arrived == 5000 + (happened if field == "duplicate" else -happened)


def test_reordering_delays_some() -> None:
    path = link(LinkSpec(reorder=0.5, reorder_extra_ns=100))
    assert {at for now in range(20) for at, _ in path.transfer(PACKET, 0)} == {0, 100}


def test_corruption_flips_one_bit() -> None:
    path = link(LinkSpec(corrupt=1.0))
    [(_, damaged)] = path.transfer(PACKET, 0)
    assert sum(byte.bit_count() for byte in damaged) == 1


def test_same_seed_same_fate() -> None:
    spec = LinkSpec(loss=0.3, reorder=0.3, reorder_extra_ns=50, duplicate=0.3, corrupt=0.3)
    first, second, other = (link(spec, seed) for seed in (7, 7, 8))
    fates = [[path.transfer(PACKET, now) for now in range(100)] for path in (first, second, other)]
    assert fates[0] == fates[1] != fates[2]


def test_middlebox_replaces_packets() -> None:
    path = Link(LinkSpec(), Random(1), middlebox=lambda packet: [packet[:10], packet[10:]])
    assert [len(one) for _, one in path.transfer(PACKET, 0)] == [10, 990]
    assert Link(LinkSpec(), Random(1), middlebox=lambda packet: []).transfer(PACKET, 0) == []


def test_too_big_for_the_link() -> None:
    with pytest.raises(ValueError, match="MTU"):
        link(LinkSpec(mtu=999)).transfer(PACKET, 0)


def test_clock_runs_in_order_of_time_then_of_scheduling() -> None:
    clock, seen = Clock(), []
    for at_ns, name in ((20, "c"), (10, "a"), (20, "d"), (10, "b")):
        clock.schedule(at_ns, lambda name=name: seen.append((clock.now_ns, name)))
    clock.schedule(15, lambda: clock.schedule(3, lambda: seen.append((clock.now_ns, "late"))))
    while clock.advance():
        pass
    assert seen == [(10, "a"), (10, "b"), (15, "late"), (20, "c"), (20, "d")]
    assert clock.next_ns() is None
