"""What a segment is charged when packets are small does not make it smaller still."""

import pytest

from mptcp_stack.sim import pattern
from tests.sim.scenes import exchange, make_scene


@pytest.mark.parametrize("mtu", [296, 500])
@pytest.mark.parametrize("window", [16_000, 65_536])
def test_all_segments_but_the_last_are_full(mtu: int, window: int) -> None:
    scene = make_scene(1, mtu=mtu, receive_buffer_bytes=window, receive_buffer_autotuning=False)
    exchange(scene, pattern(100_000), b"")
    lengths = [one.length for _, one in scene.segments("client") if one.length]
    assert [length for length in lengths if length < max(lengths)] == [min(lengths)]
