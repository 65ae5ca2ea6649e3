"""What an emulated link does to frames: arithmetic and dice, without a frame."""

from itertools import pairwise

import pytest

from testbed.links.emulator.direction import Direction
from testbed.spec import Impairments

MS, SECOND = 10**6, 10**9
FRAME = 1514


def direction(seed="1", **fields):
    return Direction(Impairments.model_validate(fields).model_dump(mode="json"), seed)


def fates(one, count, gap_ns=MS):
    return [one.offer(FRAME, number * gap_ns) for number in range(count)]


def lost(seed="1", count=20_000, **fields):
    one = direction(seed, **fields)
    return [number for number, arrivals in enumerate(fates(one, count)) if not arrivals]


def test_a_frame_takes_its_serialisation_and_the_delay():
    one = direction(rate="10 Mbit/s", queue="100 kB", delay="7 ms")
    on_the_wire = FRAME * 8 * 100  # ns at 10 Mbit/s
    assert one.offer(FRAME, 0) == (on_the_wire + 7 * MS,)
    assert one.offer(FRAME, 0) == (2 * on_the_wire + 7 * MS,)
    assert one.offer(FRAME, SECOND) == (SECOND + on_the_wire + 7 * MS,)


@pytest.mark.parametrize("rate", [1_000_000, 10_000_000, 100_000_000])
def test_a_saturated_link_passes_its_rate(rate):
    one = direction(rate=rate, queue="50 kB")
    gap_ns = FRAME * 8 * SECOND // rate // 2
    passed = sum(bool(one.offer(FRAME, now)) for now in range(0, SECOND, gap_ns))
    # What the queue still holds at the end has passed as well.
    assert passed * FRAME * 8 == pytest.approx(rate + 50_000 * 8, rel=0.01, abs=2 * FRAME * 8)


def test_the_queue_holds_so_many_bytes_and_no_more():
    one = direction(rate="1 Mbit/s", queue=10 * FRAME)
    assert [bool(one.offer(FRAME, 0)) for _ in range(12)] == [True] * 10 + [False] * 2
    assert one.offer(60, 0) == ()
    assert one.counters.queue_dropped == 3
    # One frame has left: there is room for one.
    after_one = FRAME * 8 * 1000
    assert one.offer(FRAME, after_one)
    assert not one.offer(FRAME, after_one)


@pytest.mark.parametrize(("share", "least", "most"), [("0.1 %", 9, 34), ("1 %", 164, 238), ("5 %", 921, 1080)])
def test_losses_are_as_many_as_asked(share, least, most):
    """Of 20 000 frames; bounds are the 99 % interval of the binomial distribution."""
    assert least <= len(lost(loss=share)) <= most


def test_the_same_seed_loses_the_same_frames():
    assert lost("7", loss="1 %") == lost("7", loss="1 %") != lost("8", loss="1 %")
    one = direction("7", loss="1 %")
    first = fates(one, 1000)
    one.seed("7")
    assert fates(one, 1000) == first


def test_losses_come_in_bursts():
    gone = lost(burst_loss={"enter": "0.5 %", "leave": "25 %"})
    assert len(gone) / 20_000 == pytest.approx(0.5 / 25.5, rel=0.25)
    bursts = 1 + sum(later != earlier + 1 for earlier, later in pairwise(gone))
    assert len(gone) / bursts == pytest.approx(4, rel=0.2)


def test_the_mean_of_all_losses():
    asked = Impairments.model_validate({"loss": "2 %", "burst_loss": {"enter": 0.01, "leave": 0.09, "lost": 0.5}})
    assert asked.mean_loss == pytest.approx(1 - 0.98 * 0.95)
    measured = len(lost(loss="2 %", burst_loss={"enter": 0.01, "leave": 0.09, "lost": 0.5})) / 20_000
    assert measured == pytest.approx(asked.mean_loss, rel=0.1)


def test_jitter_spreads_arrivals_and_keeps_their_order():
    one = direction(delay="20 ms", jitter="5 ms")
    arrivals = [at for (at,) in fates(one, 2000, gap_ns=20 * MS)]
    delays = [at - number * 20 * MS for number, at in enumerate(arrivals)]
    assert 15 * MS <= min(delays) < 15.1 * MS
    assert 24.9 * MS < max(delays) <= 25 * MS
    close = [at for (at,) in fates(direction(delay="20 ms", jitter="5 ms"), 2000, gap_ns=MS // 10)]
    assert close == sorted(close)


def test_reordered_frames_are_overtaken():
    one = direction(delay="1 ms", reorder="10 %", reorder_extra="5 ms")
    arrivals = [at for (at,) in fates(one, 2000)]
    late = sum(at - number * MS == 6 * MS for number, at in enumerate(arrivals))
    assert late == one.counters.reordered == pytest.approx(200, abs=50)
    assert arrivals != sorted(arrivals)


def test_duplicated_frames_arrive_twice():
    one = direction(delay="1 ms", duplicate="10 %")
    twice = [arrivals for arrivals in fates(one, 2000) if len(arrivals) == 2]
    assert len(twice) == one.counters.duplicated == pytest.approx(200, abs=50)
    assert all(first == second for first, second in twice)
