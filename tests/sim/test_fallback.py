"""MPTCP where something on the way, or the peer, does not have it (RFC 8684 section 3.7)."""

import pytest

from mptcp_stack.sim import pattern
from mptcp_stack.wire import MpJoinSyn, Segment
from tests.sim.scenes import DOWNLOAD, PORT, SYN, UPLOAD, exchange, impaired, make_scene, rewrite, without_mptcp

SEEDS = [1, 2, 3]
ACK = 16


def strip_syn(segment: Segment) -> bool:
    if segment.flags & SYN:
        without_mptcp(segment)
    return True


def strip_syn_ack(segment: Segment) -> bool:
    if segment.flags & (SYN | ACK) == SYN | ACK:
        without_mptcp(segment)
    return True


def strip_all(segment: Segment) -> bool:
    without_mptcp(segment)
    return True


def strip_all_but_syn(segment: Segment) -> bool:
    if not segment.flags & SYN:
        without_mptcp(segment)
    return True


def is_join(segment: Segment) -> bool:
    return any(isinstance(option, MpJoinSyn) for option in segment.options.mptcp)


def strip_join(segment: Segment) -> bool:
    if is_join(segment):
        without_mptcp(segment)
    return True


def drop_join(segment: Segment) -> bool:
    return not is_join(segment)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("change", [strip_syn, strip_syn_ack, strip_all, strip_all_but_syn])
def test_falls_back_to_tcp(change, loss: float, seed: int) -> None:
    run = make_scene(seed, [impaired(loss=loss)] * 2, middlebox=rewrite(change))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp
    assert run.carried()[1] == 0 or change is strip_all_but_syn


@pytest.mark.parametrize(("upload", "download"), [(0, 0), (1, 0), (0, 1), (3000, 0), (3000, 3000)])
@pytest.mark.parametrize("change", [strip_syn, strip_syn_ack, strip_all, strip_all_but_syn])
def test_short_exchanges_fall_back(change, upload: int, download: int) -> None:
    """The end of data may have been sent as a DATA_FIN already."""
    run = make_scene(1, middlebox=rewrite(change))
    exchange(run, pattern(upload, 1), pattern(download, 2))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("after", [10, 50, 200])
@pytest.mark.parametrize("both", [False, True])
def test_path_loses_mptcp_in_the_middle(both: bool, after: int, loss: float, seed: int) -> None:
    """From some segment on there are no options any more, on the way to the server or on both ways."""
    count = 0

    def strip(segment: Segment) -> bool:
        nonlocal count
        count += 1
        if count > after and (both or segment.dport == PORT):
            without_mptcp(segment)
        return True

    run = make_scene(seed, [impaired(loss=loss)], middlebox=rewrite(strip))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("side", ["client", "server"])
def test_one_side_has_no_mptcp(side: str, seed: int) -> None:
    run = make_scene(seed, **{side: {"mptcp": False}})
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp
    assert run.carried()[1] == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("change", [strip_join, drop_join])
def test_goes_on_with_one_path_when_joins_fail(change, seed: int) -> None:
    run = make_scene(seed, middlebox=rewrite(change))
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert server.connection.is_mptcp
