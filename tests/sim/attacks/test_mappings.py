"""Data sequence signals that lie (RFC 8684 section 3.3): nothing that an honest peer sent may change for it."""

import pytest

from mptcp_stack.sim import SECOND, pattern
from mptcp_stack.storage import MASK_64
from mptcp_stack.wire import RST, Dss
from tests.sim.attacks.hostile import application_of, connected, forge, mapped, still_works, strike, victim_of
from tests.sim.scenes import Scene


@pytest.fixture
def scene() -> Scene:
    return connected(2)


def received(scene: Scene) -> bytes:
    return bytes(application_of(scene.server).received)


def is_over(scene: Scene, index: int) -> bool:
    """Whether a subflow that was there at the beginning is gone."""
    return len(victim_of(scene.server).subflows) <= index


def test_overlap_on_one_subflow_first_wins(scene: Scene) -> None:
    """Also where the second copy covers more than the first, and fills the hole before it."""
    subflow = victim_of(scene.server).subflows[0]
    covering = mapped(subflow, b"aaaaXXXXcccc")
    later = mapped(subflow, b"BBBB", offset=4, ssn=covering.options.dss.ssn + 4)
    later.seq += 4
    strike(scene, scene.server, later, covering)
    assert received(scene) == b"aaaaBBBBcccc"


def test_subflows_that_contradict_each_other_are_both_not_believed(scene: Scene) -> None:
    """Until one of them says it again: one mapping was not what the peer sent, and nothing tells which."""
    first, second = victim_of(scene.server).subflows
    strike(scene, scene.server, mapped(second, b"BBBB", offset=4), mapped(first, b"aaaaXXXXcccc"))
    assert received(scene) == b""
    strike(scene, scene.server, mapped(second, b"aaaaBBBBcccc"))
    assert received(scene) == b"aaaaBBBBcccc"


def test_subflows_that_agree_are_believed(scene: Scene) -> None:
    first, second = victim_of(scene.server).subflows
    strike(scene, scene.server, mapped(second, b"BBBB", offset=4), mapped(first, b"aaaaBBBBcccc"))
    strike(scene, scene.server, mapped(second, b"ccccdddd", offset=-4))
    assert received(scene) == b"aaaaBBBBccccdddd"


def test_data_that_were_delivered_stay(scene: Scene) -> None:
    first, second = victim_of(scene.server).subflows
    strike(scene, scene.server, mapped(first, b"first"))
    strike(scene, scene.server, mapped(second, b"other", offset=-5))
    assert received(scene) == b"first"
    strike(scene, scene.server, mapped(second, b"otherrest", offset=-5))
    assert received(scene) == b"first"
    assert is_over(scene, 1)
    assert scene.server.stack.counters["MPTcpExtDSSCorruptionReset"] == 1


@pytest.mark.parametrize("offset", [7 << 20, 1 << 31, 1 << 40, -(1 << 40), -(1 << 31)])
def test_data_beyond_the_window_are_not_kept(scene: Scene, offset: int) -> None:
    """The window is the connection's; a mapping far away must not make it hold what was not offered room for."""
    subflow = victim_of(scene.server).subflows[1]
    strike(scene, scene.server, mapped(subflow, pattern(1000), offset=offset))
    receiving = victim_of(scene.server).receiving
    assert receiving._reassembly.held_bytes == 0
    assert receiving.queue.length == 0
    assert received(scene) == b""


def test_mapping_that_contradicts_one_before_ends_the_subflow(scene: Scene) -> None:
    """Also one that has passed: which of them is true, only a checksum could tell."""
    subflow = victim_of(scene.server).subflows[1]
    whole = mapped(subflow, b"aaaa", length=8)
    strike(scene, scene.server, whole)
    again = mapped(subflow, b"bbbb", offset=100)
    strike(scene, scene.server, again)
    assert received(scene) == b"aaaa"
    assert scene.server.stack.counters["MPTcpExtDSSNoMatchTCP"] == 1
    assert is_over(scene, 1)


def test_mapping_moved_onto_bytes_that_have_passed_ends_the_subflow(scene: Scene) -> None:
    subflow = victim_of(scene.server).subflows[1]
    strike(scene, scene.server, mapped(subflow, b"aaaa"))
    moved = mapped(subflow, b"bbbb")
    moved.options.dss.ssn -= 2
    strike(scene, scene.server, moved)
    assert received(scene) == b"aaaa"
    assert is_over(scene, 1)


@pytest.mark.parametrize(("paths", "outcome"), [(1, "Fallback"), (2, "Reset")])
def test_huge_mapping_binds_what_follows(paths: int, outcome: str) -> None:
    """65535 bytes announced with four: what follows without a mapping belongs to it, and nobody may say otherwise.

    A path that is alone goes on as TCP, for which the mappings no longer matter; as one of two it is reset.
    """
    scene = connected(paths)
    subflow = victim_of(scene.server).subflows[0]
    strike(scene, scene.server, mapped(subflow, b"aaaa", length=65535))
    strike(scene, scene.server, forge(subflow, b"bbbb"))
    strike(scene, scene.server, mapped(subflow, b"cccc", offset=7, length=65535))
    assert received(scene) == (b"aaaabbbbcccc" if paths == 1 else b"aaaabbbb")
    assert scene.server.stack.counters[f"MPTcpExtDSSCorruption{outcome}"] == 1


def test_data_without_a_mapping_end_the_subflow(scene: Scene) -> None:
    """RFC 8684 section 3.3.1: nobody knows where they belong."""
    subflow = victim_of(scene.server).subflows[1]
    answers = strike(scene, scene.server, forge(subflow, b"stray"))
    assert any(answer.flags & RST for answer in answers)
    assert is_over(scene, 1)
    assert received(scene) == b""
    still_works(scene)


@pytest.mark.parametrize("distance", [1, 1000, 1 << 31, 1 << 40, (1 << 63) - 1])
def test_acknowledgement_of_data_never_sent(scene: Scene, distance: int) -> None:
    subflow = victim_of(scene.server).subflows[0]
    before = victim_of(scene.server).sending.queue.base
    data_ack = subflow.connection.local_key.dsn(before + distance)
    strike(scene, scene.server, forge(subflow, dss=Dss(data_ack=data_ack)))
    assert victim_of(scene.server).sending.queue.base == before
    still_works(scene)


@pytest.mark.parametrize("distance", [1, 1000, 1 << 31, 1 << 40, 1 << 62])
def test_acknowledgement_from_long_ago(scene: Scene, distance: int) -> None:
    """It neither takes back an acknowledgement nor opens a window."""
    still_works(scene)
    subflow = victim_of(scene.server).subflows[0]
    sending = victim_of(scene.server).sending
    before = sending.queue.base, sending._edge
    data_ack = subflow.connection.local_key.dsn(sending.queue.base - distance)
    strike(scene, scene.server, forge(subflow, dss=Dss(data_ack=data_ack), window=0))
    assert (sending.queue.base, sending._edge) == before
    still_works(scene)


@pytest.mark.parametrize("offset", [-1000, -1, 1 << 31, 1 << 40, 7 << 20])
def test_end_of_data_where_it_cannot_be(scene: Scene, offset: int) -> None:
    """A DATA_FIN (section 3.3.3) before data that have arrived, or beyond the window, is not believed."""
    still_works(scene)
    before = received(scene)
    subflow = victim_of(scene.server).subflows[0]
    server = victim_of(scene.server)
    dss = Dss(data_ack=server.local_key.dsn(server.sending.queue.base), ssn=0, length=1, data_fin=True)
    dss.dsn = server.remote_key.dsn(server.receiving.next + offset)
    strike(scene, scene.server, forge(subflow, dss=dss))
    assert not application_of(scene.server).eof
    assert victim_of(scene.server).receiving.fin is None
    assert received(scene) == before
    still_works(scene)
    victim_of(scene.client).close()
    scene.client.settle()
    scene.network.run_for(10 * SECOND)
    assert application_of(scene.server).eof
    assert application_of(scene.server).error is None


def test_nothing_comes_after_the_end_of_data(scene: Scene) -> None:
    first, second = victim_of(scene.server).subflows
    early = mapped(second, b"more", offset=3)
    strike(scene, scene.server, mapped(first, b"", length=1, offset=3, data_fin=True, ssn=0), early)
    assert received(scene) == b""
    strike(scene, scene.server, mapped(first, b"end"))
    assert application_of(scene.server).eof
    strike(scene, scene.server, mapped(second, b"more", offset=-1))
    assert received(scene) == b"end"
    moved = mapped(first, b"", length=1, offset=1000, data_fin=True, ssn=0)
    strike(scene, scene.server, moved)
    assert victim_of(scene.server).receiving.finished


def test_infinite_mapping_out_of_nothing(scene: Scene) -> None:
    """Length 0 (section 3.3.1) falls back to TCP with one subflow left; here it may cost its subflow, no more."""
    subflow = victim_of(scene.server).subflows[1]
    strike(scene, scene.server, mapped(subflow, b"infinite", offset=100, length=0))
    scene.network.run_for(SECOND)
    assert victim_of(scene.server).is_mptcp
    assert received(scene) == b""
    still_works(scene)


@pytest.mark.parametrize("checksums", [False, True])
def test_many_small_mappings_are_bounded(checksums: bool) -> None:
    """What is announced ahead costs nothing without payload (it maps nothing), and with it what such data may."""
    scene = connected(2, dss_checksum=checksums, receive_buffer_bytes=64 << 10)
    server = victim_of(scene.server)
    subflow = server.subflows[0]
    receiver = subflow.endpoint.receiver
    dsn, ssn = server.remote_key.dsn(server.receiving.next), receiver.next - receiver.irs
    for ahead in range(1, 1400, 2):
        announced = Dss(dsn=(dsn + ahead) & MASK_64, ssn=ssn + ahead, length=1, checksum=0 if checksums else None)
        strike(scene, scene.server, forge(subflow, dss=announced))
    assert subflow.charge == 0
    for ahead in range(1, 1400, 2):
        announced = Dss(dsn=(dsn + ahead) & MASK_64, ssn=ssn + ahead, length=1, checksum=0 if checksums else None)
        strike(scene, scene.server, forge(subflow, b"x", dss=announced, seq=receiver.next + ahead))
    assert server.receiving.memory_bytes - 512 < subflow.charge <= server.receiving.memory_bytes + 512
    subflow.endpoint.abort(scene.network.clock.now_ns)
    scene.server.settle()
    still_works(scene)


def test_bytes_that_nothing_explains_are_bounded() -> None:
    """With checksums a mapping may come a little later (section 3.3.1); but not when its longest has gone by."""
    scene = connected(2, dss_checksum=True)
    still_works(scene)
    subflow = victim_of(scene.server).subflows[1]
    assert subflow.bytes_received
    for _ in range(100):
        silent = Dss(data_ack=subflow.connection.local_key.dsn(subflow.connection.sending.queue.base))
        strike(scene, scene.server, forge(subflow, pattern(1000), dss=silent))
    assert is_over(scene, 1)
    assert 60_000 < subflow.unverified_bytes < 70_000


@pytest.mark.parametrize("side", ["client", "server"])
def test_acknowledgement_without_dss_of_what_is_acknowledged(side: str) -> None:
    """It is no sign that the path has lost MPTCP (RFC 8684 section 3.7): a blind attacker can send it."""
    scene = connected(1)
    still_works(scene)
    victim = scene.client if side == "client" else scene.server
    (subflow,) = victim_of(victim).subflows
    strike(scene, victim, *[forge(subflow, seq=subflow.endpoint.receiver.next - behind) for behind in (0, 0, 1)])
    assert victim_of(victim).is_mptcp
    still_works(scene)
    assert victim_of(victim).is_mptcp
