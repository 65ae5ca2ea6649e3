"""Windows are scaled if both SYNs of a flow say so, and by what they say (RFC 7323 section 2)."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, Source
from mptcp_stack.tcp import Address, Endpoint
from mptcp_stack.wire import ACK, SYN, Segment
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    SERVER,
    UPLOAD,
    Scene,
    check_received,
    check_windows,
    client_ip,
    exchange,
    make_scene,
    rewrite,
    server_ip,
)

BUFFERS = [(3000, 300_000), (300_000, 3000), (65_535, 65_536), (3000, 3000), (300_000, 5_000_000)]
SCALES = {3000: 0, 65_535: 0, 65_536: 1, 300_000: 3, 5_000_000: 7}


def offers(run: Scene) -> dict[tuple[bytes, bytes], int | None]:
    """What the first SYN or SYN/ACK from one address to another has as its window scale."""
    made: dict[tuple[bytes, bytes], int | None] = {}
    for _, segment in run.segments():
        if segment.flags & SYN:
            made.setdefault((segment.src, segment.dst), segment.options.window_scale)
    return made


def check_scales(run: Scene, endpoints: list[Endpoint]) -> None:
    """Each endpoint goes by what was on the wire, in both directions or in none."""
    made = offers(run)
    for endpoint in endpoints:
        ours = made[endpoint.local.ip, endpoint.remote.ip]
        theirs = made[endpoint.remote.ip, endpoint.local.ip]
        both = ours is not None and theirs is not None
        expected = (ours, theirs) if both else (0, 0)
        assert (endpoint.window_scale, endpoint.peer_window_scale) == expected


def connect(run: Scene) -> list[Endpoint]:
    """An idle connection with all its subflows; both ends of each."""
    run.server.listen(Address(b"", PORT), Application)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    client.write(b"?")  # version 0 and cookies: the server's side is there now at the latest
    run.client.settle()
    run.network.run_for(SECOND)
    connections = (*run.client.stack.connections, *run.server.stack.connections)
    return [subflow.endpoint for connection in connections for subflow in connection.subflows]


@pytest.mark.parametrize("cookies", ["off", "always"])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("client_bytes", "server_bytes"), BUFFERS)
def test_both_say_their_scale_on_every_subflow(
    client_bytes: int, server_bytes: int, version: int, cookies: str
) -> None:
    """A SYN that offers a scale is answered with one, be it 0, as the answer is also the word for the other side's."""
    run = make_scene(
        1, mptcp_version=version, mptcp_minimum_version=0, client={"receive_buffer_bytes": client_bytes},
        server={"receive_buffer_bytes": server_bytes, "syn_cookies": cookies},
    )  # fmt: skip
    endpoints = connect(run)
    assert len(endpoints) == 4
    check_scales(run, endpoints)
    made = offers(run)
    for path in (1, 2):
        assert made[client_ip(path), server_ip(path)] == SCALES[client_bytes]
        assert made[server_ip(path), client_ip(path)] == SCALES[server_bytes]


@pytest.mark.parametrize("kind", [SYN, SYN | ACK])
@pytest.mark.parametrize(("client_bytes", "server_bytes"), BUFFERS)
def test_without_an_offer_nobody_scales(client_bytes: int, server_bytes: int, kind: int) -> None:
    """Of both paths, where a middlebox takes the offer, or the answer, away."""

    def strip(segment: Segment) -> bool:
        if segment.flags & (SYN | ACK) == kind:
            segment.options.window_scale = None
        return True

    run = make_scene(
        1, middlebox=rewrite(strip), client={"receive_buffer_bytes": client_bytes},
        server={"receive_buffer_bytes": server_bytes},
    )  # fmt: skip
    endpoints = connect(run)
    assert len(endpoints) == 4
    for endpoint in endpoints:
        if kind == SYN or endpoint.remote.port == PORT:  # the other end cannot know that its answer was changed
            assert (endpoint.window_scale, endpoint.peer_window_scale) == (0, 0)
    made = offers(run)
    assert made[server_ip(2), client_ip(2)] is None or kind != SYN


def test_without_timestamps_a_cookie_has_no_scale() -> None:
    run = make_scene(1, timestamps=False, client={"receive_buffer_bytes": 3000}, server={"syn_cookies": "always"})
    endpoints = connect(run)
    check_scales(run, endpoints)
    assert [endpoint.window_scale for endpoint in endpoints if endpoint.local.ip == server_ip(1)] == [0]
    assert [endpoint.window_scale for endpoint in endpoints if endpoint.local.ip == server_ip(2)] == [7]


@pytest.mark.parametrize("stripped", ["none", "client", "server"])
@pytest.mark.parametrize(("client_bytes", "server_bytes"), BUFFERS)
def test_simultaneous_open(client_bytes: int, server_bytes: int, stripped: str) -> None:
    """Also where the SYN of one side loses its offer: its SYN/ACK, that answers an offer, is not one."""

    def strip(segment: Segment) -> bool:
        if segment.flags & (SYN | ACK) == SYN and segment.dport == (6000 if stripped == "client" else 5000):
            segment.options.window_scale = None
        return True

    here, there = Address(client_ip(1), 5000), Address(server_ip(1), 6000)
    run = make_scene(
        1, [PATH], mptcp=False, middlebox=None if stripped == "none" else rewrite(strip),
        client={"receive_buffer_bytes": client_bytes}, server={"receive_buffer_bytes": server_bytes},
    )  # fmt: skip
    one, other = Source(UPLOAD[:20_000]), Source(DOWNLOAD[:20_000])
    run.client.connect(there, one, local=here)
    run.server.connect(here, other, local=there)
    run.network.run_for(50 * MILLISECOND)
    scales = (SCALES[client_bytes], SCALES[server_bytes]) if stripped == "none" else (0, 0)
    endpoints = [host.stack.connections[0].subflows[0].endpoint for host in (run.client, run.server)]
    assert [(endpoint.window_scale, endpoint.peer_window_scale) for endpoint in endpoints] == [scales, scales[::-1]]
    run.network.run_until(lambda: one.closed and other.closed, 60 * SECOND)
    check_received(run, one, DOWNLOAD[:20_000])
    check_received(run, other, UPLOAD[:20_000])
    if stripped == "none":
        check_windows(run, mptcp=False)


@pytest.mark.parametrize(("client_bytes", "server_bytes"), BUFFERS)
def test_nobody_sends_beyond_the_window_of_a_join(client_bytes: int, server_bytes: int) -> None:
    """The window of each subflow is read with the scale that its own handshake agreed upon."""
    run = make_scene(
        1, client={"receive_buffer_bytes": client_bytes}, server={"receive_buffer_bytes": server_bytes},
    )  # fmt: skip
    reader = {"read_limit_bytes": 20_000, "read_interval_ns": 20 * MILLISECOND}
    exchange(run, UPLOAD, DOWNLOAD, limit_ns=300 * SECOND, **reader)
    for name, dropped in (("client", run.client), ("server", run.server)):
        assert not dropped.stack.counters["TcpExtBeyondWindow"], name
