"""The third ACK of a join is repeated until the peer answers it (RFC 8684 section 3.2)."""

from itertools import pairwise

from mptcp_stack.sim import SECOND, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import SYN, MpJoinAck, Packet, decode
from tests.sim.scenes import PATH, PORT, SERVER, make_scene, server_ip


def deaf_after_the_handshake(packet: bytes) -> list[bytes]:
    """Drop what the server sends on the second path, but its SYN/ACK."""
    segment = decode(Packet([packet]))
    return [] if segment.src == server_ip(2) and not segment.flags & SYN else [packet]


def test_third_ack_is_repeated_with_back_off() -> None:
    run = make_scene(1, [PATH, PATH], middlebox=deaf_after_the_handshake)
    run.server.listen(Address(b"", PORT), Sink)
    source = Source(pattern(10_000))
    source.finish = lambda how: None  # type: ignore[method-assign]  # stays open
    run.client.connect(SERVER, source)
    run.network.run_for(9 * SECOND)
    times = [
        time_ns
        for time_ns, segment in run.segments("client")
        if any(isinstance(option, MpJoinAck) for option in segment.options.mptcp)
    ]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) >= 4
    assert gaps == sorted(gaps)
