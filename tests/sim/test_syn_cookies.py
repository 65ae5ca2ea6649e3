"""SYN cookies and the table of half-open connections: what a listener keeps, and what a peer can make it do."""

from dataclasses import replace
from random import Random

import pytest

from mptcp_stack.mptcp.opening.syn_cookies import MSS_VALUES, PERIOD_NS, SynCookies
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Echo, Source, pattern
from mptcp_stack.stack import Stack, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, CWR, ECE, RST, SYN, Dss, MpCapable, Options, Packet, Segment, complete, decode, encode
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    SERVER,
    UPLOAD,
    Scene,
    client_ip,
    come_to_rest,
    exchange,
    losing,
    make_scene,
    rewrite,
    server_ip,
)

ALWAYS = {"syn_cookies": "always"}


def forged_syn(number: int, *, mptcp: bool = True) -> Segment:
    """A SYN from an address that never answers."""
    source = bytes((172, 16, *divmod(number % 65536, 256)))
    options = Options(mss=1460, window_scale=7, sack_permitted=True, ts_val=number)
    options.mptcp = (MpCapable(1, 1),) if mptcp else ()
    return Segment(source, server_ip(1), 1024 + number % 60000, PORT, number * 7919 % 2**32, 0, SYN, 65535, options)


def give(scene: Scene, *segments: Segment) -> list[Segment]:
    """Deliver forged segments to the server; what it sends in answer."""
    before = len(scene.network.trace)
    packets = [Packet([complete(encode(segment))]) for segment in segments]
    scene.server.stack.receive(packets, scene.network.clock.now_ns)
    scene.server.settle()
    return [segment for _, segment in scene.segments()[before:]]


def third_ack(syn: Segment, syn_ack: Segment) -> Segment:
    """What an honest peer answers, without MPTCP."""
    options = Options(ts_val=syn.options.ts_val, ts_ecr=syn_ack.options.ts_val or 0)
    return replace(syn, seq=syn.seq + 1, ack=syn_ack.seq + 1, flags=ACK, options=options)


@pytest.fixture
def scene() -> Scene:
    made = make_scene(1, [PATH, PATH], server=ALWAYS)
    made.server.listen(Address(b"", PORT), Application)
    return made


# --- what honest peers notice of it


@pytest.mark.parametrize("mptcp", [True, False])
@pytest.mark.parametrize("timestamps", [True, False])
def test_nothing_is_lost_but_without_timestamps(mptcp: bool, timestamps: bool) -> None:
    run = make_scene(1, [PATH, PATH], server=ALWAYS, mptcp=mptcp, timestamps=timestamps)
    _, server = exchange(run, UPLOAD, DOWNLOAD)
    counters = run.server.stack.counters
    assert counters["TcpExtSyncookiesSent"] == counters["TcpExtSyncookiesRecv"] == 1
    assert server.connection.is_mptcp == mptcp
    syn_ack = run.segments("server")[0][1].options
    assert syn_ack.sack_permitted == (syn_ack.window_scale is not None) == timestamps
    if mptcp:
        assert counters["MPTcpExtMPJoinAckRx"] == 1
        assert min(run.carried()) > 50_000


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("mode", ["off", "always"])
def test_third_ack_is_lost_but_data_come(mode: str, size: int) -> None:
    """The first data carry both keys again (RFC 8684 section 3.1); data without them are no reason to fall back."""
    run = make_scene(1, [PATH, PATH], syn_cookies=mode, middlebox=losing(2))
    _, server = exchange(run, pattern(size), DOWNLOAD)
    assert server.connection.is_mptcp


def test_what_follows_lost_data_is_not_reset() -> None:
    """The third segment, with the first data, is lost here: the others must neither open the connection nor end it."""
    run = make_scene(1, [PATH], server=ALWAYS, middlebox=losing(2), mptcp=False)
    exchange(run, UPLOAD, DOWNLOAD)
    counters = run.server.stack.counters
    assert counters["TcpExtSyncookiesFailed"] >= 8
    assert counters["TcpExtSyncookiesRecv"] == 1
    assert not counters["TcpOutRsts"]


def test_options_stripped_from_the_third_ack_mean_tcp() -> None:
    seen = 0

    def strip(segment: Segment) -> bool:
        nonlocal seen
        seen += 1
        if seen > 2:
            segment.options.mptcp, segment.options.dss = (), None
        return True

    run = make_scene(1, [PATH], server=ALWAYS, middlebox=rewrite(strip))
    _, server = exchange(run, UPLOAD, DOWNLOAD)
    assert server.connection.is_plain


@pytest.mark.parametrize("timestamps", [True, False])
def test_ecn_needs_timestamps(timestamps: bool) -> None:
    run = make_scene(1, [PATH], server=ALWAYS, mptcp=False, ecn="on", timestamps=timestamps)
    exchange(run, UPLOAD, DOWNLOAD)
    _, syn_ack = run.segments("server")[0]
    assert bool(syn_ack.flags & ECE) == timestamps
    for host in ("client", "server"):
        assert any(segment.ecn for _, segment in run.segments(host)) == timestamps


@pytest.mark.parametrize("offered", [500, 536, 1000, 1400, 1460])
def test_mss_is_rounded_down(offered: int) -> None:
    def offer(segment: Segment) -> bool:
        if segment.flags & (SYN | ACK) == SYN:
            segment.options.mss = offered
        return True

    run = make_scene(1, [PATH], server=ALWAYS, middlebox=rewrite(offer), gso_max_bytes=1, timestamps=False, mptcp=False)
    exchange(run, b"?", DOWNLOAD)
    kept = max(value for value in MSS_VALUES if value <= offered)
    assert max(segment.length for _, segment in run.segments("server")) == kept


def test_third_ack_of_version_0_is_lost() -> None:
    """Its keys come again on an acknowledgement after the data, which cannot say them."""
    old = {"mptcp_version": 0, "mptcp_minimum_version": 0}
    run = make_scene(1, [PATH, PATH], server=ALWAYS, middlebox=losing(2), **old)
    _, server = exchange(run, UPLOAD, DOWNLOAD)
    assert server.connection.is_mptcp


def test_late_copies_of_early_segments_open_nothing() -> None:
    """Also of those that come after the handshake and keep the distance of its sequence numbers."""
    run = make_scene(1, [PATH], server=ALWAYS, mptcp=False)
    run.server.listen(Address(b"", PORT), Echo)
    client = Source(pattern(20_000))
    run.client.connect(SERVER, client)
    run.network.run_for(5 * SECOND)
    assert client.received == client.payload
    assert not run.server.stack.connections
    answers = give(run, *[segment for _, segment in run.segments("client") if not segment.flags & SYN])
    assert not run.server.stack.connections
    assert all(answer.flags & RST for answer in answers)


# --- forgeries


def test_a_port_can_be_used_again_while_its_cookie_is_remembered(scene: Scene) -> None:
    first = forged_syn(1, mptcp=False)
    for number, syn in enumerate((first, replace(first, seq=first.seq + 250_000)), start=1):
        (syn_ack,) = give(scene, syn)
        ack = third_ack(syn, syn_ack)
        assert not any(segment.flags & RST for segment in give(scene, ack))
        assert scene.server.stack.counters["TcpExtSyncookiesRecv"] == number
        give(scene, replace(ack, flags=RST))
        (reset,) = give(scene, ack)  # a copy of the third ACK, and of the SYN before it
        assert reset.flags & RST
        give(scene, syn)
        (reset,) = give(scene, ack)
        assert reset.flags & RST


@pytest.mark.parametrize("mode", ["off", "always"])
def test_mapped_data_without_keys_open_nothing_unless_they_are_the_first(mode: str) -> None:
    run = make_scene(1, [PATH], syn_cookies=mode)
    run.server.listen(Address(b"", PORT), Application)
    syn = forged_syn(1)
    (syn_ack,) = give(run, syn)
    data = third_ack(syn, syn_ack)
    data.options.dss = Dss(data_ack=1, dsn=5, ssn=5, length=4)
    data.payload, data.length = [memoryview(b"data")], 4
    assert give(run, replace(data, seq=data.seq + 4)) == []
    assert not run.server.stack.connections
    # But nothing can come before the first byte (RFC 8684 section 3.1).
    data.options.dss = Dss(data_ack=1, dsn=1, ssn=1, length=4)
    give(run, data)
    (connection,) = run.server.stack.connections
    assert connection.is_plain


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"ack": 5}, RST),
        ({"seq": 1 << 30}, SYN | ACK),
        ({"seq": 0}, SYN | ACK),
        ({"ts_val": 0}, SYN | ACK),
        ({"flags": SYN | ACK}, SYN | ACK),
        ({"flags": SYN, "seq": 99}, SYN | ACK),
    ],
)
def test_what_does_not_complete_a_handshake(changes: dict[str, int], answer: int) -> None:
    """RFC 9293 section 3.10.7.4 in SYN-RECEIVED; the challenge of RFC 5961 is our SYN/ACK again, not too often."""
    run = make_scene(1, [PATH])
    listener = run.server.listen(Address(b"", PORT), Application)
    syn = forged_syn(1)
    (syn_ack,) = give(run, syn)
    wrong = third_ack(syn, syn_ack)
    wrong.options.ts_val = changes.pop("ts_val", wrong.options.ts_val)
    (answered,) = give(run, replace(wrong, **changes))
    assert answered.flags == answer
    assert len(give(run, *[replace(wrong, **changes)] * 10)) == (10 if answer == RST else 0)
    assert not run.server.stack.connections
    assert listener.half_open == 1
    assert run.server.stack.flow_states() == {"SYN-RECEIVED": 1}
    give(run, third_ack(syn, syn_ack))
    assert len(run.server.stack.connections) == 1


def test_a_cookie_belongs_to_its_addresses_its_sequence_and_its_time(scene: Scene) -> None:
    syn = forged_syn(1)
    (syn_ack,) = give(scene, syn)
    good = third_ack(syn, syn_ack)
    wrong = [
        replace(good, src=bytes((172, 16, 0, 9))),
        replace(good, sport=good.sport + 1),
        replace(good, seq=good.seq - 1),
        replace(good, seq=good.seq + 65536),
        replace(good, ack=good.ack + 8),
        replace(good, ack=good.ack ^ 1 << 28),
    ]
    for forged in wrong:
        (answer,) = give(scene, forged)
        assert answer.flags & RST
    assert scene.server.stack.counters["TcpExtSyncookiesFailed"] == len(wrong)
    assert give(scene, replace(good, seq=good.seq + 1)) == []
    scene.network.run_for(2 * PERIOD_NS + SECOND)
    (answer,) = give(scene, good)
    assert answer.flags & RST
    assert not scene.server.stack.connections


def test_guessed_acknowledgements_open_nothing(scene: Scene) -> None:
    syn = forged_syn(1)
    give(scene, syn)
    random = Random(1)
    guesses = [Segment(syn.src, syn.dst, 5000, PORT, 1, random.randrange(2**32), ACK) for _ in range(3000)]
    assert all(answer.flags & RST for answer in give(scene, *guesses))
    assert not scene.server.stack.connections


def test_no_cookie_is_tried_where_none_was_sent() -> None:
    run = make_scene(1, [PATH])
    run.server.listen(Address(b"", PORT), Application)
    give(run, Segment(client_ip(1), server_ip(1), 5000, PORT, 1, 1, ACK))
    assert not run.server.stack.counters["TcpExtSyncookiesFailed"]


def test_a_key_that_is_not_ours_is_refused(scene: Scene) -> None:
    syn = forged_syn(1)
    (syn_ack,) = give(scene, syn)
    (capable,) = syn_ack.options.mptcp
    ack = third_ack(syn, syn_ack)
    for wrong in (bytes(8), bytes([capable.sender_key[0] ^ 1]) + capable.sender_key[1:]):
        ack.options.mptcp = (MpCapable(1, 1, b"peer key", wrong),)
        (answer,) = give(scene, ack)
        assert answer.flags & RST
    assert not scene.server.stack.connections
    ack.options.mptcp = (MpCapable(1, 1, b"peer key", capable.sender_key),)
    give(scene, ack)
    (connection,) = scene.server.stack.connections
    assert connection.is_mptcp
    assert connection.remote_key.value == b"peer key"


def test_a_token_that_was_taken_meanwhile_means_tcp(scene: Scene) -> None:
    """Its keys are unique no more, so that it cannot be joined (RFC 8684 section 3.1)."""
    stack = scene.server.stack
    syn = forged_syn(1)
    (syn_ack,) = give(scene, syn)
    key = SynCookies(stack.context.secret).key(syn, 1, 0, lambda _: False)
    assert key.value == syn_ack.options.mptcp[0].sender_key
    stack._tokens[key.token] = None
    (again,) = give(scene, syn)
    assert again.options.mptcp[0].sender_key != key.value  # the next one for who comes now
    ack = third_ack(syn, syn_ack)
    ack.options.mptcp = (MpCapable(1, 1, b"peer key", key.value),)
    give(scene, ack)
    (connection,) = stack.connections
    assert connection.is_plain
    assert stack.counters["MPTcpExtMPFallbackTokenInit"] == 1


# --- floods


def flooded(mode: str, syns_per_second: int, seed: int = 1) -> tuple[Scene, list[Source]]:
    """Ten clients connect within a second while forged SYNs come in at some rate."""
    run = make_scene(seed, [PATH, PATH], syn_cookies=mode, syn_retries=4)
    run.server.listen(Address(b"", PORT), Echo, backlog=128)
    clients = [Source(pattern(3000, number)) for number in range(10)]
    step_ns = 10 * MILLISECOND
    sent = 0
    for step in range(100):
        if step % 10 == 0:
            run.client.connect(SERVER, clients[step // 10])
        due = syns_per_second * (step + 1) // 100
        now = run.network.clock.now_ns
        packets = [Packet([complete(encode(forged_syn(number)))]) for number in range(sent, due)]
        run.server.stack.receive(packets, now)
        run.server.stack.transmit(now)
        sent = due
        run.network.run_for(step_ns)
        assert sum(listener.half_open for listener in run.server.stack._listeners.values()) <= 128
    return run, clients


@pytest.mark.parametrize("rate", [100, 1000, 10_000])
@pytest.mark.parametrize("mode", ["overflow", "always"])
def test_with_cookies_a_flood_keeps_nobody_out(mode: str, rate: int) -> None:
    run, clients = flooded(mode, rate)
    run.network.run_for(500 * MILLISECOND)
    assert [client.error for client in clients] == [None] * 10
    assert all(client.closed and client.received == client.payload for client in clients)
    assert all(client.connection.is_mptcp for client in clients)
    assert len(run.server.stack.connections) <= 10
    come_to_rest(run)


def test_without_cookies_some_get_in_late() -> None:
    """Who has waited long makes room, so that honest peers get in between; none is reset."""
    run, clients = flooded("off", 1000)
    in_time = sum(client.closed for client in clients)
    assert 1 <= in_time < 10
    run.network.run_for(20 * SECOND)
    assert all(client.closed and client.error is None for client in clients)
    assert run.server.stack.counters["TcpExtTCPReqQFullDrop"] > 500
    come_to_rest(run)


def test_syn_ack_is_repeated_and_given_up() -> None:
    run = make_scene(1, [PATH], syn_retries=3)
    run.server.listen(Address(b"", PORT), Application)
    give(run, forged_syn(1), forged_syn(2))
    run.network.run_for(14 * SECOND)
    times = [round(time_ns / SECOND) for time_ns, segment in run.segments("server") if segment.flags & SYN]
    assert times == [0, 0, 1, 1, 3, 3, 7, 7]
    run.network.run_for(2 * SECOND)
    come_to_rest(run)
    assert run.server.stack.counters["TcpExtTCPReqQFullDrop"] == 0


def test_half_open_obeys_a_reset_of_the_right_sequence_only() -> None:
    run = make_scene(1, [PATH])
    listener = run.server.listen(Address(b"", PORT), Application)
    syn = forged_syn(1)
    give(run, syn)
    give(run, replace(syn, seq=syn.seq + 2, flags=RST, options=Options()))
    assert listener.half_open == 1
    assert run.server.stack.counters["TcpExtTCPChallengeACK"] == 1
    give(run, replace(syn, seq=syn.seq + 1, flags=RST, options=Options()))
    assert listener.half_open == 0


@pytest.mark.parametrize("repeated", [0, 2])
def test_a_copy_of_the_syn_does_not_take_its_cookie_away(repeated: int) -> None:
    """The first gets a cookie, as the table is full; a copy finds room there, and its SYN/ACK is on the way or lost."""
    run = make_scene(1, [PATH])
    listener = run.server.listen(Address(b"", PORT), Application, backlog=1)
    other, syn = forged_syn(1), forged_syn(2, mptcp=False)
    give(run, other)
    (cookie,) = give(run, syn)
    give(run, replace(other, seq=other.seq + 1, flags=RST, options=Options()))
    (again,) = give(run, syn)
    assert (listener.half_open, again.seq != cookie.seq) == (1, True)
    run.network.run_for(repeated * 2 * SECOND)
    assert not [answer for answer in give(run, third_ack(syn, cookie)) if answer.flags & RST]
    assert listener.half_open == 0
    assert len(run.server.stack.connections) == 1


@pytest.mark.parametrize("mode", ["off", "always"])
def test_data_on_a_syn_are_neither_kept_nor_taken(mode: str) -> None:
    run = make_scene(1, [PATH], syn_cookies=mode)
    listener = run.server.listen(Address(b"", PORT), Application)
    syn = replace(forged_syn(1, mptcp=False), payload=[memoryview(bytes(1000))], length=1000)
    (syn_ack,) = give(run, syn)
    assert syn_ack.ack == syn.seq + 1
    assert not any(request.syn.payload for request in listener._requests.values())
    data = third_ack(syn, syn_ack)
    data.payload, data.length = [memoryview(b"data")], 4
    give(run, data)
    (connection,) = run.server.stack.connections
    assert connection.receiving.next == 4


# --- an application that does not take its connections


@pytest.mark.parametrize("mode", ["off", "always"])
def test_connections_that_nobody_takes_fill_the_queue(mode: str) -> None:
    stack = Stack(StackConfig(addresses=make_scene(1).server.stack.addresses, syn_cookies=mode), Random(1))
    stack.listen(Address(b"", PORT), 0, backlog=3)

    def answers(segment: Segment) -> list[Segment]:
        stack.receive([Packet([complete(encode(segment))])], 0)
        return [decode(Packet([complete(packet)])) for packet in stack.transmit(0)]

    for number in range(10):
        syn = forged_syn(number, mptcp=False)
        for syn_ack in answers(syn):
            answers(third_ack(syn, syn_ack))
    assert len(stack.connections) == 4  # as in Linux, one more than the backlog
    assert stack.counters["TcpExtListenOverflows"] == 6
    while stack.next_event() is not None:
        pass
    syn = forged_syn(11, mptcp=False)
    (syn_ack,) = answers(syn)
    answers(third_ack(syn, syn_ack))
    assert len(stack.connections) == 5


def test_unknown_mode_is_named() -> None:
    with pytest.raises(ValueError, match="syn_cookies 'sometimes': not one of off, overflow, always"):
        Stack(StackConfig(syn_cookies="sometimes"), Random(1))


@pytest.mark.parametrize("length", [4, 16])
def test_cookies_of_both_address_families(length: int) -> None:
    cookies = SynCookies(b"secret")
    syn = Segment(bytes(length), b"\1" * length, 5, 6, 2**32 - 1, 0, SYN, 0, Options(mss=1400, ts_val=7))
    answer = Segment(syn.dst, syn.src, 6, 5, flags=SYN | ACK | ECE, options=Options(ts_val=3, sack_permitted=True))
    cookies.keep_options(replace(syn.options, window_scale=14), answer)
    ours = answer.options
    assert ours.ts_val > 2**32 - 128  # not later than it was, around zero too
    ack = replace(syn, seq=0, ack=(cookies.sequence(syn, 1400, 0) + 1) % 2**32, flags=ACK)
    ack.options = Options(ts_val=9, ts_ecr=ours.ts_val)
    restored = cookies.restore(ack, PERIOD_NS)
    assert restored is not None
    assert (restored.syn.seq, restored.syn.flow) == (syn.seq, syn.flow)
    assert restored.syn.flags == SYN | ECE | CWR
    assert restored.syn.options == Options(mss=1400, ts_val=9, window_scale=14, sack_permitted=True)
    assert SynCookies(b"another").restore(ack, PERIOD_NS) is None
