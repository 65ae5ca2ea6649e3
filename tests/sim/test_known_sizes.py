"""What is known of a path's MTU is used by the next connection, and kept alive by none (RFC 8201 section 5.3)."""

from mptcp_stack.sim import SECOND
from mptcp_stack.tcp.path_mtu import PacketSize
from tests.sim.scenes import client_ip, come_to_rest, exchange, make_scene, server_ip


def test_an_accepted_connection_leaves_no_timer_behind() -> None:
    scene = make_scene(1)
    stack = scene.server.stack
    stack.context.path_sizes[server_ip(1) + client_ip(1)] = PacketSize(1400), 6000 * SECOND
    exchange(scene, bytes(1000), bytes(5000))  # and come to rest
    path = [one for _, one in scene.segments("server") if one.src == server_ip(1)]
    assert max(one.length for one in path) < 1400 - 40
    come_to_rest(scene, 0)
    assert not stack.context.timers.armed
