"""What an emulated link does to frames: arithmetic and dice, without a frame."""

from itertools import pairwise

import pytest

from testbed.links.emulator.direction import Direction
from testbed.spec import Change, Impairments
from testbed.spec.schedule import timeline
from testbed.stacks.counters import link_problems

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
    one = direction(rate="1 Mbit/s", queue=f"{10 * FRAME} B")
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


# --- queues in packets, schedules, traces ---

ON_THE_WIRE_NS = FRAME * 8 * MS // 1000  # ns at 1 Mbit/s


def changing(*schedule, trace=None, seed="1", **fields):
    """A direction with a schedule, as a link would give it; it begins at 0."""
    first = Impairments.model_validate(fields)
    moments = timeline(first, [Change.model_validate(one) for one in schedule], "forward")
    steps = [{"at_ns": at_ns, "up": up, **state.model_dump(mode="json")} for at_ns, state, up in moments]
    one = Direction(first.model_dump(mode="json"), seed, steps, trace)
    one.start(0)
    return one


def test_the_queue_holds_so_many_packets_and_no_more():
    one = direction(rate="1 Mbit/s", queue="10 packets")
    assert [bool(one.offer(length, 0)) for length in [60, FRAME] * 6] == [True] * 10 + [False] * 2
    assert one.counters.queue_dropped == 2
    assert one.offer(FRAME, 60 * 8 * 1000)


def test_a_rate_that_changes_holds_for_what_waits_already():
    one = changing({"at": "5 ms", "set": {"rate": "2 Mbit/s"}}, rate="1 Mbit/s", queue="100 kB")
    first, second = (one.offer(FRAME, 0)[0] for _ in range(2))
    # 5000 of 12112 bits at 1 Mbit/s, the others at 2.
    assert first == 5 * MS + (FRAME * 8 - 5000) * 500
    assert second == first + FRAME * 8 * 500


def test_a_ramp_passes_the_mean_of_its_rates():
    one = changing({"at": 0, "set": {"rate": "3 Mbit/s"}, "over": "1 s"}, rate="1 Mbit/s", queue="20 kB")
    passed = sum(bool(one.offer(FRAME, now)) for now in range(0, SECOND, MS))
    assert passed * FRAME * 8 == pytest.approx(2_000_000 + 20_000 * 8, rel=0.02)


def test_delay_and_loss_change_at_their_time():
    one = changing({"at": "1 s", "set": {"delay": "50 ms"}}, {"at": "2 s", "set": {"loss": 1}}, delay="10 ms")
    assert one.offer(FRAME, SECOND - 1) == (SECOND - 1 + 10 * MS,)
    assert one.offer(FRAME, SECOND) == (SECOND + 50 * MS,)
    assert one.offer(FRAME, 2 * SECOND) == ()


def test_a_delay_that_shrinks_does_not_reorder():
    one = changing({"at": "1 s", "set": {"delay": "10 ms"}}, delay="50 ms")
    before, after = one.offer(FRAME, SECOND - 1), one.offer(FRAME, SECOND)
    assert before == after == (SECOND - 1 + 50 * MS,)


def test_a_link_that_goes_down_loses_its_queue_and_what_it_is_given():
    one = changing(
        {"at": "30 ms", "state": "down"},
        {"at": "1 s", "state": "up"},
        rate="1 Mbit/s",
        queue="3 packets",
        delay="99 ms",
    )
    # Two are sent in time, and arrive; the third still waits; there is no room for a fourth.
    assert [len(one.offer(FRAME, 0)) for _ in range(4)] == [1, 1, 0, 0]
    assert (one.counters.down, one.counters.queue_dropped) == (1, 1)
    assert one.offer(FRAME, 29 * MS) == ()
    assert one.offer(FRAME, 500 * MS) == ()
    assert one.offer(FRAME, SECOND) == (SECOND + ON_THE_WIRE_NS + 99 * MS,)
    assert one.counters.down == 3


def test_nothing_changes_before_the_start_and_a_seed_ends_it():
    one = changing({"at": 0, "state": "down"}, delay="1 ms")
    assert one.offer(FRAME, 0) == ()
    one.seed("1")
    assert one.offer(FRAME, SECOND) == (SECOND + MS,)
    one.start(2 * SECOND)
    assert one.offer(FRAME, 2 * SECOND - 1)
    assert not one.offer(FRAME, 2 * SECOND)


def test_the_same_seed_and_schedule_give_the_same_fates():
    schedule = [{"at": "100 ms", "set": {"loss": "50 %", "delay": "9 ms"}, "over": "1 s"}]

    def run(seed):
        return fates(changing(*schedule, seed=seed, rate="10 Mbit/s", queue="9 kB", delay="5 ms", jitter="4 ms"), 2000)

    assert run("3") == run("3") != run("4")


TRACE = {"opportunities_ms": [2, 2, 5, 10], "packet_bytes": FRAME}


def traced(**fields):
    return changing(trace=TRACE, queue="100 kB", **fields)


def test_a_trace_delivers_a_packet_at_each_opportunity_and_begins_anew():
    one = traced()
    times = [one.offer(FRAME, 0)[0] / MS for _ in range(9)]
    assert times == [2, 2, 5, 10, 12, 12, 15, 20, 22]


def test_small_packets_share_an_opportunity_and_long_ones_take_several():
    one = traced()
    assert [one.offer(length, 0)[0] // MS for length in (500, 1000, 14, 14, 2 * FRAME)] == [2, 2, 2, 2, 10]


def test_opportunities_that_find_nothing_are_gone():
    one = traced()
    assert one.offer(FRAME, 3 * MS) == (5 * MS,)
    assert one.offer(FRAME, 10 * MS) == (10 * MS,)
    assert one.offer(FRAME, 10 * MS) == (12 * MS,)
    assert one.offer(100, 12 * MS) == (12 * MS,)
    assert one.offer(100, 17 * MS) == (20 * MS,)


def test_before_it_starts_a_trace_has_its_mean_rate():
    one = traced()
    one.seed("1")
    assert one.offer(FRAME, SECOND) == (SECOND + 2_500_000,)


def test_a_trace_under_load_delivers_all_it_can():
    one = traced()
    passed = sum(bool(one.offer(FRAME, now)) for now in range(0, SECOND, MS))
    assert passed == pytest.approx(400 + 100_000 // FRAME, abs=2)


def test_an_outage_does_not_hold_the_trace():
    one = changing({"at": "1 ms", "state": "down"}, {"at": "4 ms", "state": "up"}, trace=TRACE, queue="100 kB")
    assert [one.offer(FRAME, now * MS) for now in (0, 0, 4)] == [(), (), (5 * MS,)]


def test_too_many_late_frames_are_a_problem():
    def problems(late, offered):
        return link_problems({"path1": {"client->server": {"offered": offered, "late": late, "refused": 0}}})

    assert problems(5000, 100_000) == problems(1000, 1100) == []
    assert problems(5001, 100_000) == [
        "link path1, client->server: 5001 of 100000 frames more than a millisecond late: too much for the emulator"
    ]
