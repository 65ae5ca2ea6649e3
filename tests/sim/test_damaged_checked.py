"""Paths that damage DSS options of connections with checksums: it costs segments, and no subflow as a rule.

Every segment of a mapping carries a copy, and what a checksum shows to be wrong was never taken for right.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from mptcp_stack.sim import SECOND, Application, Source, pattern
from mptcp_stack.sim.network import SimulationError
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Dss, Segment
from tests.sim.scenes import (
    PATH,
    PORT,
    RST,
    SERVER,
    UPLOAD,
    Scene,
    client_ip,
    exchange,
    make_scene,
    rewrite,
    without_mptcp,
)

LONG_UPLOAD, LONG_DOWNLOAD = pattern(400_000, 1), pattern(400_000, 2)
BYTES = {"data_ack": 8, "dsn": 8, "ssn": 4, "length": 2, "checksum": 2}


def damage(segment: Segment, field: str, byte: int) -> None:
    """Invert one byte of a field of the DSS, or of its flags, so that nobody can read it any more."""
    dss = segment.options.dss
    if field == "flags":
        segment.options.dss = None
    else:
        segment.options.dss = replace(dss, **{field: getattr(dss, field) ^ 0xFF << 8 * byte})


def damaging(share: float, seed: int) -> Callable[[Segment], bool]:
    """Invert one byte, any of them but the first, of such a share of all DSS options."""
    random = Random(seed)

    def change(segment: Segment) -> bool:
        dss = segment.options.dss
        if dss is not None and random.random() < share:
            there = [field for field in BYTES if getattr(dss, field) is not None]
            if dss.dsn is None:
                there = ["data_ack"]
            fields = ["flags", *(field for field in there for _ in range(BYTES[field]))]
            field = random.choice(fields)
            damage(segment, field, random.randrange(BYTES.get(field, 1)))
        return True

    return change


def resets(run: Scene) -> int:
    return sum(bool(segment.flags & RST) for _, segment in run.segments())


@pytest.mark.parametrize("number", [8, 9, 20, 21])
@pytest.mark.parametrize(("field", "byte"), [("flags", 0), *((field, 0) for field in BYTES), ("dsn", 2), ("dsn", 7)])
def test_one_damaged_option_costs_no_subflow(field: str, byte: int, number: int) -> None:
    count = 0

    def change(segment: Segment) -> bool:
        nonlocal count
        if segment.src == client_ip(2) and segment.length and segment.options.dss:
            count += 1
            if count == number:
                damage(segment, field, byte)
        return True

    run = make_scene(1, middlebox=[None, rewrite(change)], dss_checksum=True)
    client, _ = exchange(run, LONG_UPLOAD, b"")
    assert count > number
    assert client.connection.is_mptcp
    assert run.server.stack.counters["MPTcpExtMPRstTx"] == run.client.stack.counters["MPTcpExtMPRstTx"] == 0
    assert resets(run) == 0


def play(seed: int, both: bool) -> tuple[Scene, Source, Source]:
    """One exchange over paths that damage one in twenty options; it may end in any way, or not at all."""
    box = rewrite(damaging(0.05, seed))
    run = make_scene(seed, middlebox=box if both else [None, box], dss_checksum=True)
    client, server = Source(LONG_UPLOAD), Source(LONG_DOWNLOAD)
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    with suppress(SimulationError):  # the caller looks at what has arrived
        run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    return run, client, server


@pytest.mark.parametrize("both", [False, True])
def test_most_connections_keep_all_subflows(both: bool) -> None:
    whole = without_resets = 0
    for seed in range(20):
        run, client, server = play(seed, both)
        assert LONG_UPLOAD.startswith(bytes(server.received)), run.network.diagnosis("wrong bytes")
        assert LONG_DOWNLOAD.startswith(bytes(client.received)), run.network.diagnosis("wrong bytes")
        arrived = bytes(server.received) == LONG_UPLOAD and bytes(client.received) == LONG_DOWNLOAD
        assert arrived or client.error or server.error, run.network.diagnosis("cut short, and nobody was told")
        whole += arrived
        without_resets += resets(run) == 0
    assert whole >= 18
    assert without_resets >= 16


def test_a_damaged_end_of_data_is_not_believed() -> None:
    """A DATA_FIN without payload has a checksum too; without looking at it the stream would end early."""
    damaged = 0

    def change(segment: Segment) -> bool:
        nonlocal damaged
        dss = segment.options.dss
        if segment.src == client_ip(1) and dss is not None and dss.data_fin and not segment.length and not damaged:
            damaged += 1
            damage(segment, "dsn", 0)
        return True

    run = make_scene(1, middlebox=rewrite(change), dss_checksum=True)
    client, server = Source(b""), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.connected and server.connected, SECOND)
    server.eof = False
    client.connection.close()
    run.client.settle()
    run.network.run_for(20_000_000)
    assert damaged == 1
    assert server.connection.receiving.fin is None
    run.network.run_until(lambda: server.eof, 60 * SECOND)


def test_a_damaged_acknowledgement_is_not_believed() -> None:
    """Else the sender forgot data that are lost with the subflow, and the connection would hang."""
    damaged = 0

    def change(segment: Segment) -> bool:
        nonlocal damaged
        dss = segment.options.dss
        if segment.dst == client_ip(2) and dss is not None and dss.data_ack is not None and not segment.length:
            sending = client.connection.sending
            if sending.queue.next - sending.queue.base > 20_000 and not damaged:
                damaged = sending.queue.next - 1
                segment.options.dss = replace(dss, data_ack=damaged)
        return True

    run = make_scene(1, middlebox=[None, rewrite(change)], dss_checksum=True)
    client, server = Source(LONG_UPLOAD), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: bool(damaged), 10 * SECOND)
    run.network.run_for(13_000_000)  # it has arrived, and the data that it speaks of hardly
    assert client.connection.sending.queue.base < damaged
    server.connection.subflows[1].endpoint.abort(run.network.clock.now_ns)
    run.server.settle()
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert bytes(server.received) == LONG_UPLOAD


def test_a_path_that_loses_all_options_is_given_up_after_a_few_segments() -> None:
    stripped = 0

    def change(segment: Segment) -> bool:
        nonlocal stripped
        if segment.src == client_ip(2) and segment.length and run.network.clock.now_ns > SECOND // 5:
            stripped += 1
            without_mptcp(segment)
        return True

    run = make_scene(1, middlebox=[None, rewrite(change)], dss_checksum=True)
    exchange(run, LONG_UPLOAD, UPLOAD)
    assert stripped >= 4
    assert run.server.stack.counters["MPTcpExtMPRstTx"] == 1


def test_two_segments_share_a_mapping() -> None:
    """Where a window lets it: so that there are two copies of it."""
    run = make_scene(1, dss_checksum=True)
    exchange(run, LONG_UPLOAD, b"")
    sizes: dict[int, Dss] = {}
    for _, segment in run.segments("client"):
        if segment.options.dss and segment.options.dss.length:
            sizes[segment.options.dss.dsn] = segment.options.dss
    single = sum(dss.length <= 1460 for dss in sizes.values())
    assert single <= 0.03 * len(sizes)


@pytest.mark.parametrize("bits", [32, 64])
def test_an_end_of_data_alone_is_believed(bits: int) -> None:
    """The checksum is over 8 bytes of data sequence number, however many of them are sent (section 3.3.1)."""
    run = make_scene(1, [PATH], dss_checksum=True, dsn_bits=bits)
    client, server = Source(b""), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, SECOND)
    assert client.error is server.error is None


@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("setting", [{"send_buffer_bytes": 3000}, {"receive_buffer_bytes": 4500}])
def test_small_buffers_do_not_wait_for_a_second_acknowledgement(setting: dict[str, int], paths: int) -> None:
    """What TCP vouches for is believed at once; else each partial DATA_ACK would wait for a delayed ACK."""

    def seconds(**checksum: bool) -> float:
        run = make_scene(1, [PATH] * paths, **checksum, **setting)
        client, server = Source(LONG_UPLOAD[:100_000]), Source(b"")
        run.server.listen(Address(b"", PORT), lambda: server)
        run.client.connect(SERVER, client)
        run.network.run_until(lambda: len(server.received) == 100_000, 60 * SECOND)
        return run.network.clock.now_ns / SECOND

    assert seconds(dss_checksum=True) < 1.2 * seconds()


def test_the_segment_with_the_infinite_mapping_is_taken() -> None:
    altered = False

    def change(segment: Segment) -> bool:
        nonlocal altered
        if waiting and segment.dport == PORT and segment.length and not altered:
            altered = True
            segment.payload = [memoryview(bytes(segment.length))]
        return True

    class Answering(Application):
        def on_data(self, data: bytes) -> None:
            if waiting:
                self.write(b"answer")

    waiting = False
    run = make_scene(1, [PATH], middlebox=rewrite(change), dss_checksum=True)
    client, server = Application(), Answering()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    client.write(b"hello" * 10)
    server.write(b"welcome")
    run.client.settle()
    run.server.settle()
    run.network.run_for(SECOND)
    waiting, asked_ns = True, run.network.clock.now_ns
    client.write(b"request" * 10)
    run.client.settle()
    run.network.run_until(lambda: bytes(client.received).endswith(b"answer"), 20 * SECOND)
    assert client.connection.is_plain
    assert run.network.clock.now_ns - asked_ns < 30_000_000


def test_a_peer_may_give_a_mapping_on_its_first_segment_alone() -> None:
    """And when that one is lost, those after it must show TCP that it is (section 3.3.1)."""
    lost = 0

    def change(segment: Segment) -> bool:
        nonlocal lost
        dss = segment.options.dss
        if once and segment.dport == PORT and segment.length and dss is not None and dss.dsn is not None:
            endpoint = client.connection.subflows[0].endpoint
            if (segment.seq - endpoint.iss - dss.ssn) & 0xFFFFFFFF:
                segment.options.dss = Dss(dss.data_ack, dss.data_ack_64)
            elif not lost:
                lost += 1
                return False
        return True

    once = False
    run = make_scene(1, [PATH], middlebox=rewrite(change), dss_checksum=True)
    client, server = Application(), Application()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    for _ in range(10):
        client.write(bytes(5000))
        run.client.settle()
        run.network.run_for(SECOND // 5)
    once, began_ns = True, run.network.clock.now_ns
    client.write(bytes(2 * 1400))
    run.client.settle()
    run.network.run_until(lambda: len(server.received) == 52_800, 20 * SECOND)
    assert lost == 1
    assert run.network.clock.now_ns - began_ns < 60_000_000
