"""A mapping on a segment that has neither payload nor an end of data: it maps nothing (RFC 8684 section 3.3.1)."""

from dataclasses import replace

import pytest

from tests.sim.attacks.hostile import application_of, connected, mapped, still_works, strike, victim_of
from tests.sim.scenes import Scene


@pytest.fixture(params=[False, True], ids=["plain", "checksums"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return connected(2, dss_checksum=request.param)


@pytest.mark.parametrize("number", [0, 1], ids=["first subflow", "joined"])
@pytest.mark.parametrize("length", [0, 1, 4, 1000, 65535])
@pytest.mark.parametrize("offset", [0, -1, 10_000])
def test_it_says_nothing(scene: Scene, number: int, length: int, offset: int) -> None:
    """Neither that the connection is TCP from here on, nor what the bytes are that follow."""
    server = victim_of(scene.server)
    bare = mapped(server.subflows[number], b"", offset, length=length)
    strike(scene, scene.server, bare, replace(bare))
    assert server.is_mptcp
    assert len(server.subflows) == 2
    assert scene.server.stack.counters["MPTcpExtInfiniteMapRx"] == 0
    still_works(scene)
    assert len(server.subflows) == 2
    assert not {name for name in scene.server.stack.counters if "Corruption" in name or "Csum" in name}


def test_what_it_acknowledges_counts(scene: Scene) -> None:
    server = victim_of(scene.server)
    application_of(scene.server).write(bytes(100))
    scene.server.settle()
    base = server.sending.queue.base
    bare = mapped(server.subflows[0], b"", length=0, data_ack=server.local_key.dsn(base + 100))
    strike(scene, scene.server, bare)
    assert server.sending.queue.base == base + 100


def test_an_end_of_data_counts_without_payload() -> None:
    server = victim_of((scene := connected(2)).server)
    strike(scene, scene.server, mapped(server.subflows[0], b"", length=1, data_fin=True, ssn=0))
    assert server.receiving.finished
