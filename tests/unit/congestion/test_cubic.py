"""CUBIC against the text of RFC 9438."""

import pytest

from mptcp_stack.congestion import Cubic

MSS = 1000
RTT_NS = 100_000_000
SECOND = 1_000_000_000


def after_loss(segments: int, previous: int = 0) -> Cubic:
    """A control that lost at a window of so many segments, perhaps after a loss at a larger one."""
    control = Cubic(MSS, [])
    control.srtt_ns = RTT_NS
    for cwnd in filter(None, (previous, segments)):
        control.cwnd = cwnd * MSS
        control.on_congestion(0)
    return control


def run(control: Cubic, start_ns: int, duration_ns: int) -> int:
    """A full window acknowledged each round trip, in ten parts; the time after it."""
    step = RTT_NS // 10
    for now in range(start_ns, start_ns + duration_ns, step):
        control.on_ack(int(control.cwnd / 10), now)
    return start_ns + duration_ns


def test_window_comes_back_to_its_maximum_after_k() -> None:
    """Section 4.2: K is the cube root of the distance over C; beyond it the growth speeds up again."""
    control = after_loss(1000)
    assert control.cwnd == pytest.approx(700 * MSS)
    k_ns = int((300 / 0.4) ** (1 / 3) * SECOND)
    run(control, SECOND, k_ns)
    assert control.cwnd == pytest.approx(1000 * MSS, rel=0.01)


def test_fast_convergence() -> None:
    """Section 4.7: a second loss below the last maximum aims lower."""
    control = after_loss(800, previous=1000)
    k_ns = int(((0.85 - 0.7) * 800 / 0.4) ** (1 / 3) * SECOND)
    run(control, SECOND, k_ns)
    assert control.cwnd == pytest.approx(0.85 * 800 * MSS, rel=0.01)


def test_small_windows_grow_as_reno_does() -> None:
    """Section 4.3: 0.53 segments a round trip up to the window before the loss, one beyond it."""
    control = after_loss(10)
    run(control, SECOND, SECOND)
    assert 11 < control.cwnd / MSS < 15, "the cubic function alone has not come back to 10"


def test_time_without_use_does_not_count() -> None:
    """Section 5.8: after a pause the window goes on where it was, it does not jump."""
    control, paused = after_loss(1000), after_loss(1000)
    now = run(control, SECOND, SECOND)
    run(paused, SECOND, SECOND)
    run(control, now, SECOND)
    run(paused, now + 60 * SECOND, SECOND)
    assert paused.cwnd == pytest.approx(control.cwnd, rel=0.02)


def test_after_a_timeout_the_old_maximum_is_forgotten() -> None:
    """Section 4.8: K is 0 in the first epoch after it."""
    control = after_loss(1000)
    control.on_timeout(0)
    control.cwnd = control.ssthresh
    run(control, SECOND, RTT_NS)
    assert control._k == 0


def test_a_loss_that_was_none_is_forgotten() -> None:
    """Section 4.9.1: the curve goes on where it was, and slow start under the eyes of HyStart++."""
    lucky, other = after_loss(100, previous=200), after_loss(100, previous=200)
    now = run(lucky, 0, 3 * SECOND)
    run(other, 0, 3 * SECOND)
    memory = lucky.memory()
    lucky.on_congestion(now)
    lucky.on_timeout(now)
    lucky.restore(memory)
    assert lucky.memory() == other.memory()
    assert (lucky.round_trip, lucky.mss) == (other.round_trip, other.mss)
    run(lucky, now, 5 * SECOND)
    run(other, now, 5 * SECOND)
    assert lucky.cwnd == other.cwnd
    young = Cubic(MSS, [])
    memory = young.memory()
    young.on_congestion(now)
    young.restore(memory)
    assert young.in_slow_start
    assert young._hystart is not None
