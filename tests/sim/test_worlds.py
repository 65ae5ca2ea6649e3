"""The same seeds give the same packets, byte for byte, as long as nobody means to change them, and compiled as pure."""

from pathlib import Path

import pytest

from mptcp_stack.build import running
from tests.sim.worlds import KEPT, MIDDLEBOXES, SEEDS, SETTINGS, digest_of, kept


@pytest.mark.parametrize("seed", SEEDS if running() == "compiled" else SEEDS[::5])
def test_the_packets_of_a_world_are_those_kept(seed: int, tmp_path: Path) -> None:
    digest, features = digest_of(seed, tmp_path)
    told = "python -m tests.sim.worlds --captures DIR shows them; with --keep they are the right ones"
    assert digest == kept()[seed], f"world {seed} has other packets ({told}): {sorted(features)}"


def test_every_feature_occurs_in_the_worlds_kept() -> None:
    assert list(kept()) == list(SEEDS)
    lines = [line.removeprefix("# ") for line in KEPT.read_text().splitlines() if line.startswith("# ")]
    occurred = {line.strip().partition(" ")[2] for line in lines}
    wanted = {f"scheduler {name}" for name in SETTINGS["scheduler"]}
    wanted |= {f"path manager {name.partition(':')[0]}" for name in SETTINGS["path_manager"]}
    wanted |= {f"control {name}" for name in SETTINGS["congestion"]}
    wanted |= {f"middlebox {name}" for name in MIDDLEBOXES}
    wanted |= {"MPTCP v0", "MPTCP v1", "TCP", "IPv4", "IPv6", "1 path", "2 paths", "3 paths", "4 paths"}
    wanted |= {"checksums", "no checksums", "loss", "reordering", "fallback at the beginning", "fallback later"}
    wanted |= {"MP_JOIN", "address leaves", "address comes"}
    assert wanted - occurred == set()
