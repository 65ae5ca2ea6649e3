"""The path manager that docs/stack.md shows, run as it stands there."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, UPLOAD, client_ip, server_ip
from tests.sim.test_routed import ACCESS, routed

DOCUMENT = Path(__file__).parents[2] / "docs" / "stack.md"


def example(name: str) -> str:
    """The block of Python that defines the class `name`."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    (block,) = [block for block in blocks if f"class {name}(" in block]
    return block


def test_path_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    code = example("Spare")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    module = ModuleType("mine")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "mine", module)
    network = routed(1, replace(ACCESS, rate_bps=1_000_000), path_manager="mine:Spare")
    client, server = Source(UPLOAD * 5), Sink()
    network.hosts["server"].listen(Address(b"", PORT), lambda: server)
    network.hosts["client"].connect(Address(server_ip(1), PORT), client)
    network.run_for(300 * MILLISECOND)
    first, spare = client.connection.subflows
    assert (spare.local.ip, spare.remote.ip, spare.backup) == (client_ip(2), server_ip(1), True)
    spare.endpoint.abort(network.clock.now_ns)
    network.hosts["client"].settle()
    assert client.connection.subflows == [first]
    network.run_for(6 * SECOND)
    assert len(client.connection.subflows) == 2
    network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert bytes(server.received) == client.payload
