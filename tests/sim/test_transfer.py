"""Stack against stack: what is sent arrives once, in order and complete, whatever the links do."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, pattern
from tests.sim.scenes import DOWNLOAD, PATH, UPLOAD, Scene, exchange, impaired, losing, make_scene

SEEDS = [1, 2, 3]
MODES = {"tcp": 1, "mptcp": 2}
LINKS = {
    "clean": PATH,
    "loss1": impaired(loss=0.01),
    "loss5": impaired(loss=0.05),
    "reordering": impaired(reorder=0.1, reorder_extra_ns=8 * MILLISECOND),
    "duplication": impaired(duplicate=0.1),
    "corruption": impaired(corrupt=0.03),
    "short queue": impaired(queue_bytes=6000),
    "everything": impaired(loss=0.02, reorder=0.05, reorder_extra_ns=30 * MILLISECOND, duplicate=0.05, corrupt=0.01),
}


def scene(mode: str, spec: LinkSpec, seed: int, **config: object) -> Scene:
    return make_scene(seed, [spec] * MODES[mode], mptcp=mode == "mptcp", **config)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("links", LINKS)
@pytest.mark.parametrize("mode", MODES)
def test_both_directions_at_once(mode: str, links: str, seed: int) -> None:
    run = scene(mode, LINKS[links], seed)
    client, server = exchange(run, UPLOAD, DOWNLOAD)
    for application in (client, server):
        assert application.connection.is_mptcp == (mode == "mptcp")
    if mode == "mptcp" and links == "clean":
        assert min(run.carried()) > 20_000, "both paths are used"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("upload", "download"), [(0, 0), (1, 0), (0, 1), (0, 50_000), (50_000, 0)])
def test_one_direction_or_none(mode: str, seed: int, upload: int, download: int) -> None:
    exchange(scene(mode, impaired(loss=0.03), seed), pattern(upload, 3), pattern(download, 4))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("upload", "download"), [(0, 0), (1000, 0), (0, 1), (1000, 20_000)])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_loss_of_each_packet_in_turn(mode: str, upload: int, download: int, length: int) -> None:
    """Whichever packets of a short exchange are lost, handshake and end included, it is repaired soon."""
    for first in range(30):
        lost = losing(*range(first, first + length))
        run = make_scene(1, [PATH] * MODES[mode], middlebox=lost, mptcp=mode == "mptcp")
        exchange(run, pattern(upload, 3), pattern(download, 4), limit_ns=20 * SECOND)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("field", [{"sack": False}, {"timestamps": False}, {"gso_max_bytes": 1}])
@pytest.mark.parametrize("links", ["clean", "loss5", "everything"])
def test_without_an_option(mode: str, field: dict[str, object], links: str) -> None:
    exchange(scene(mode, LINKS[links], 4, **field), UPLOAD, DOWNLOAD)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("links", ["clean", "loss1", "everything"])
def test_super_segments_come_in(mode: str, links: str) -> None:
    exchange(scene(mode, LINKS[links], 6, coalesce_ns=5 * MILLISECOND), UPLOAD, DOWNLOAD)


@pytest.mark.parametrize("congestion", ["reno", "cubic"])
@pytest.mark.parametrize("mode", MODES)
def test_congestion_controls(mode: str, congestion: str) -> None:
    exchange(scene(mode, LINKS["loss1"], 5, congestion=congestion), UPLOAD, DOWNLOAD)


@pytest.mark.parametrize("seed", SEEDS)
def test_unequal_paths(seed: int) -> None:
    slow = LinkSpec(rate_bps=1_000_000, delay_ns=100 * MILLISECOND, loss=0.01)
    exchange(make_scene(seed, [PATH, slow]), UPLOAD, DOWNLOAD)
    exchange(make_scene(seed, [slow, PATH]), UPLOAD, DOWNLOAD)


@pytest.mark.parametrize("seed", SEEDS)
def test_tcp_survives_a_blackout(seed: int) -> None:
    dark = impaired(blackouts=((100 * MILLISECOND, 3 * SECOND),))
    exchange(scene("tcp", dark, seed), UPLOAD, DOWNLOAD)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dark_path", [0, 1])
def test_mptcp_goes_on_over_the_other_path(seed: int, dark_path: int) -> None:
    """Data and its end, stuck on a path that went dark, are sent again on the other, long before the path is back."""
    specs = [PATH, PATH]
    specs[dark_path] = impaired(blackouts=((150 * MILLISECOND, 20 * SECOND),))
    run = make_scene(seed, specs)
    upload = pattern(500_000, 6)
    exchange(run, upload, b"", limit_ns=120 * SECOND)
    arrived = [time_ns for time_ns, segment in run.segments("server") if segment.flags & 1]
    assert arrived[0] < 10 * SECOND


@pytest.mark.parametrize("seed", SEEDS)
def test_mptcp_ends_although_a_path_never_comes_back(seed: int) -> None:
    dark = impaired(blackouts=((100 * MILLISECOND, 10**15),))
    exchange(make_scene(seed, [PATH, dark]), UPLOAD, DOWNLOAD, limit_ns=300 * SECOND)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first_back", [0, 1])
def test_what_waits_for_a_dark_path_holds_up_nothing(seed: int, first_back: int) -> None:
    """Both paths go dark; what was stuck on the one that stays dark goes out on the other as soon as that is back."""
    specs = [impaired(blackouts=((150 * MILLISECOND, 30 * SECOND),))] * 2
    specs[first_back] = impaired(blackouts=((150 * MILLISECOND, 1 * SECOND),))
    run = make_scene(seed, specs)
    exchange(run, pattern(500_000, 6), b"", limit_ns=120 * SECOND)
    arrived = [time_ns for time_ns, segment in run.segments("server") if segment.flags & 1]
    assert arrived[0] < 10 * SECOND
