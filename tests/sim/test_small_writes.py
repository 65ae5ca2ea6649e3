"""Small segments: Nagle's algorithm, the cork, and no silly windows."""

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.sim import MILLISECOND, SECOND, Application, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PATH, PORT, SERVER, Scene, exchange, make_scene

MSS = 1448


@pytest.fixture(params=[False, True], ids=["tcp", "mptcp"])
def run(request: pytest.FixtureRequest) -> Scene:
    """A client and a server that have said nothing yet."""
    made = make_scene(1, [PATH], mptcp=request.param)
    made.server.listen(Address(b"", PORT), Application)
    made.client.connect(SERVER, Application())
    made.network.run_for(200 * MILLISECOND)
    return made


def connection_of(run: Scene) -> Connection:
    return run.client.stack.connections[0]


def write(run: Scene, length: int) -> None:
    connection_of(run).send(bytes(length))
    run.client.settle()


def lengths(run: Scene) -> list[int]:
    return [segment.length for _, segment in run.segments("client") if segment.length]


def test_a_second_small_write_waits_for_the_first_to_be_acknowledged(run: Scene) -> None:
    for _ in range(3):
        write(run, 100)
    assert lengths(run) == [100]
    run.network.run_for(SECOND)
    assert lengths(run) == [100, 200]


def test_no_delay(run: Scene) -> None:
    connection_of(run).nodelay = True
    for _ in range(3):
        write(run, 100)
    assert lengths(run) == [100, 100, 100]


def test_no_delay_lets_go_what_waits(run: Scene) -> None:
    write(run, 100)
    write(run, 100)
    connection_of(run).nodelay = True
    run.client.settle()
    assert lengths(run) == [100, 100]


def test_one_write_never_waits_whatever_its_length(run: Scene) -> None:
    """Minshall: what is under way are full segments, so that the odd end of a large write goes with them."""
    write(run, 4 * MSS + 1)
    run.network.run_for(100 * MILLISECOND)
    assert sum(lengths(run)) == 4 * MSS + 1


def test_the_end_of_the_stream_does_not_wait(run: Scene) -> None:
    write(run, 100)
    write(run, 100)
    connection_of(run).shutdown()
    run.client.settle()
    assert lengths(run) == [100, 100]


@pytest.mark.parametrize("how", ["taken off", "too long", "end"])
def test_cork(run: Scene, how: str) -> None:
    connection = connection_of(run)
    connection.cork = True
    for _ in range(4):
        write(run, 500)
        run.network.run_for(10 * MILLISECOND)
    full = sum(lengths(run))
    assert all(length >= 1400 for length in lengths(run))
    assert 1400 <= full < 2000
    if how == "too long":
        run.network.run_for(100 * MILLISECOND)
        assert sum(lengths(run)) == full
        run.network.run_for(100 * MILLISECOND)
    elif how == "end":
        connection.shutdown()
    else:
        connection.cork = False
    run.client.settle()
    assert sum(lengths(run)) == 2000


def test_no_delay_lets_go_what_waits_under_a_cork(run: Scene) -> None:
    """tcp(7): setting it flushes what is pending, whether it was set already or not; the cork stays."""
    connection = connection_of(run)
    connection.cork = True
    for expected in ([80], [80, 80]):
        for _ in range(2):
            write(run, 40)
            run.network.run_for(10 * MILLISECOND)
        assert lengths(run) == expected[:-1]
        connection.nodelay = True
        run.client.settle()
        assert lengths(run) == expected
    connection.nodelay = True  # nothing waits: nothing is let go later
    write(run, 40)
    assert lengths(run) == [80, 80]
    run.network.run_for(SECOND)
    assert lengths(run) == [80, 80, 40]


@pytest.mark.parametrize("buffer_bytes", [1, 300, 1000, 2000])
@pytest.mark.parametrize("paths", [1, 2])
def test_windows_smaller_than_a_segment(buffer_bytes: int, paths: int) -> None:
    """Half of the largest window seen is enough (RFC 9293 section 3.8.6.2.1): no stand-still."""
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, receive_buffer_bytes=buffer_bytes)
    exchange(run, pattern(20 * min(buffer_bytes, 400)), b"", limit_ns=100 * SECOND)


@pytest.mark.parametrize("paths", [1, 2])
def test_a_reader_of_small_pieces_gets_no_small_segments(paths: int) -> None:
    """The window opens a little at each read; the sender waits for half of it (the silly window syndrome)."""
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, receive_buffer_bytes=20_000)
    reader = {"read_limit_bytes": 200, "read_interval_ns": MILLISECOND}
    exchange(run, b"", pattern(100_000), limit_ns=100 * SECOND, **reader)
    sent = [segment.length for _, segment in run.segments("server") if segment.length]
    assert sum(length < 1000 for length in sent) <= 3
