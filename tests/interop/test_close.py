"""Ends of connections between our stack and the kernel's: who closes first, half-closed, reset, and many short ones."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from testbed.interop.peer import Scene
from tests.interop.mixed import ROLES, runs

pytestmark = [pytest.mark.root, pytest.mark.kernel]

MUCH = 1_000_000
SCENES = [
    Scene("client closes first", [f"send {MUCH}", "close"], ["read", "close"]),
    Scene("server closes first", ["read", "close"], [f"send {MUCH}", "close"]),
    Scene("both close at once", ["read 1000", "close"], ["send 1000", "close"]),
    Scene("half-closed by client", ["send 1000", "shutdown", "read", "close"], ["read", f"send {MUCH}", "close"]),
    Scene("half-closed by server", ["read", f"send {MUCH}", "close"], ["send 1000", "shutdown", "read", "close"]),
    Scene("client aborts", ["read 1000", "abort"], ["send 1000", "read"]),
    Scene("server aborts", ["send 1000", "read"], ["read 1000", "abort"]),
    Scene("client aborts a transfer", ["read 100000", "abort"], ["send 100000000"]),
    Scene("server aborts a transfer", ["send 100000000"], ["read 100000", "abort"]),
    Scene("many short", ["read", "close"], ["send 10000", "close"], connections=200, at_once=20),
]
ABORTED = {
    "client aborts": "server",
    "server aborts": "client",
    "client aborts a transfer": "server",
    "server aborts a transfer": "client",
}
"""Who sees the reset."""
ORDERLY = [scene for scene in SCENES if scene.name not in ABORTED]

BODY = f"""
    import json
    from testbed.host.process import announced_ready, running
    scenes = json.dumps({[asdict(scene) for scene in SCENES]})
    for client, server in {ROLES}:
        mixed = Mixed(client, server)
        listen = mixed.command(lab, "server", "testbed.interop.peer", "--listen", "0.0.0.0:5000")
        target = mixed.server_address(lab) + ":5000"
        connect = mixed.command(lab, "client", "testbed.interop.peer", "--connect", target, "--scenes", scenes)
        with running(hosts["server"], listen, directory, "server") as at_server:
            at_server.await_start(announced_ready)
            with running(hosts["client"], connect, directory, "client") as at_client:
                code = at_client.wait(60, lambda _: None)
        said = dict()
        for name, program in (("client", at_client), ("server", at_server)):
            said[name] = program.documents()[-1] if program.documents() else {{"died": program.stderr.read_text()}}
        kernel = hosts["client" if client.startswith("kernel") else "server"]
        for kind in "Mt":
            states = lambda: [line.split()[0] for line in kernel.run(["ss", f"-Han{{kind}}"]).stdout.splitlines()]
            deadline = time.monotonic() + 6
            while set(states()) - {{"TIME-WAIT"}} and time.monotonic() < deadline:
                time.sleep(0.05)
            said[f"ss {{kind}}"] = states()
        say([client, said])
"""


@dataclass
class Run:
    outcomes: dict[str, dict[str, list[dict[str, Any]]]]
    """By side and scene."""
    left: dict[str, list[str]]
    kernel_left: set[str]


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> dict[str, Any]:
    parameters = {"rate": "100 Mbit/s", "queue": "500 kB"}
    return runs(tmp_path_factory.mktemp("close"), "two-paths", parameters, BODY)


@pytest.fixture(params=[client for client, _ in ROLES])
def said(request, played) -> dict[str, Any]:
    return played[request.param]


def outcomes(said: dict[str, Any], side: str, scene: str) -> list[dict[str, Any]]:
    assert "died" not in said[side], said[side]
    return [one for one in said[side]["outcomes"] if one["scene"] == scene]


@pytest.mark.parametrize(
    "scene", [scene for scene in SCENES if scene.name not in ABORTED], ids=lambda scene: scene.name
)
def test_orderly_ends(said, scene):
    for side, steps, peer_steps in (("client", scene.client, scene.server), ("server", scene.server, scene.client)):
        seen = outcomes(said, side, scene.name)
        assert len(seen) == scene.connections
        assert Counter(one["error"] for one in seen) == {None: scene.connections}
        sent = sum(int(step.split()[1]) for step in peer_steps if step.startswith("send"))
        for one in seen:
            assert one["mptcp"]
            assert one["content_ok"]
            assert one["received"] == (sent if any(step.startswith("read") for step in steps) else 0)
            assert one["end"] == ("read" in steps)


@pytest.mark.parametrize("scene", ABORTED)
def test_a_reset_reaches_the_peer(said, scene):
    (seen,) = outcomes(said, ABORTED[scene], scene)
    assert seen["mptcp"]
    assert seen["content_ok"]
    assert seen["error"] == "ConnectionResetError"
    assert not seen["end"]


def test_aborts_are_fast_closes(said):
    """Of the connection, not of a subflow alone (RFC 8684 section 3.5): two by the kernel."""
    (ours,) = (said[side]["stack"]["counters"] for side in ("client", "server") if said[side]["stack"])
    assert ours["MPTcpExtMPFastcloseRx"] == 2


def test_nothing_is_left(said):
    for side in ("client", "server"):
        assert said[side]["left"] == []
    for kind in "Mt":
        assert set(said[f"ss {kind}"]) <= {"TIME-WAIT"}
