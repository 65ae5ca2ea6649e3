"""Leaving slow start by the growth of the round-trip time (RFC 9406)."""

from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, Scene, endpoint_of, make_scene

DEEP = LinkSpec(rate_bps=10_000_000, delay_ns=50 * MILLISECOND, queue_bytes=1_500_000)
BDP_BYTES = 125_000


def upload(seconds: int) -> Scene:
    run = make_scene(1, [DEEP], mptcp=False, congestion="cubic")
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Source(pattern(8_000_000)))
    run.network.run_for(seconds * SECOND)
    return run


def test_a_deep_queue_is_not_filled() -> None:
    """Round after round the queue is longer: that is no passing growth, and slow start ends before its five rounds.

    One round of doubling before the growth is seen, and one more of a quarter until it is certain.
    """
    control = endpoint_of(upload(4).client).control
    assert BDP_BYTES < control.ssthresh < 4 * BDP_BYTES
