"""A different stack on each side: transfers between our stack and the kernel's, and what both sides counted.

`runs(code)` runs code in a lab of its own. In it `transfer(label, client, server, direction, bytes)` measures one
transfer and says it; the test reads it back as a `Transfer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed import stacks
from testbed.stacks.base import CLIENT, SERVER, Evidence, StackUnderTest
from tests.testbed.lab_run import run_inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.lab import Lab
    from testbed.stacks.counters import Counters

PYTHON, KERNEL = "python-mptcp", "kernel-mptcp"
ROLES = [(PYTHON, KERNEL), (KERNEL, PYTHON)]
"""(client, server)"""

PRELUDE = """
import dataclasses, pathlib
from testbed import stacks
from testbed.stacks import measure
from tests.interop.mixed import Mixed
directory = pathlib.Path({directory!r})
def transfer(label, client, server, direction, size):
    here = directory / label.replace(" ", "-")
    here.mkdir()
    load = measure.BulkLoad(direction, limit_bytes=size, check="sha256", time_limit_s=30)
    say([label, dataclasses.asdict(measure.bulk(lab, Mixed(client, server), load, here))])
with Lab(load_topology({topology!r}, {parameters!r})) as lab:
    hosts = lab.hosts
    stacks.create("kernel-mptcp").prepare(lab)
    {body}
"""


class Mixed(StackUnderTest):
    """One stack in the client, another in the server."""

    name = label = "mixed"
    features = frozenset({"bulk"})

    def __init__(self, client: str, server: str) -> None:
        super().__init__()
        self._stacks = {CLIENT: stacks.create(client), SERVER: stacks.create(server)}

    def prepare(self, lab: Lab) -> None:
        raise NotImplementedError("the lab is prepared once for all pairs")

    def server_address(self, lab: Lab) -> str:
        return self._stacks[SERVER].server_address(lab)

    def program(self, argv: Sequence[str]) -> list[str]:
        raise NotImplementedError("our own programs only")

    def module_options(self, lab: Lab, host: str) -> list[str]:
        return self._stacks[host].module_options(lab, host)

    def command(self, lab: Lab, host: str, module: str, *arguments: str) -> list[str]:
        return self._stacks[host].command(lab, host, module, *arguments)

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        return []  # the tests look at the counters


@dataclass
class Transfer:
    """One measured transfer; `client` and `server` are each side's counters, whoever kept them."""

    problems: list[str]
    result: dict[str, Any]
    client: dict[str, int]
    server: dict[str, int]
    paths: dict[str, dict[str, dict[str, int]]]
    connection: dict[str, Any] | None
    """What our stack says of the client's connection; None where the client was the kernel's."""

    @classmethod
    def read(cls, measured: dict[str, Any]) -> Transfer:
        reports = measured["stacks"]
        sides = {host: (reports[host] or {}).get("counters", measured["counters"][host]) for host in (CLIENT, SERVER)}
        return cls(
            measured["problems"], measured["result"], sides[CLIENT], sides[SERVER], measured["paths"],
            (reports[CLIENT] or {}).get("connection"),
        )  # fmt: skip

    @property
    def is_mptcp(self) -> bool:
        """Whether it ended as MPTCP; where our stack does not tell, whether it began so."""
        if self.connection is not None:
            return bool(self.connection["is_mptcp"])
        return self.count("MPCapableACKRX")[1] > 0

    def check_content(self, size: int) -> None:
        """Everything arrived as it was sent."""
        assert self.problems == []
        assert self.result["received_bytes"] == size
        assert self.result["content_ok"]
        assert self.result["sent_sha256"] == self.result["received_sha256"]
        assert len(self.result["received_sha256"]) == 64

    def count(self, name: str) -> tuple[int, int]:
        """An MPTCP counter of the client and of the server."""
        return self.client.get(f"MPTcpExt{name}", 0), self.server.get(f"MPTcpExt{name}", 0)

    def shares(self, host: str) -> list[float]:
        """Each path's share of all bytes on `host`'s interfaces, both directions."""
        carried = [sum(counts.values()) for name, counts in self.paths[host].items() if name.startswith(f"{host}-eth")]
        return [number / sum(carried) for number in carried]


def runs(directory: Path, topology: str, parameters: dict[str, str], body: str) -> dict[str, Any]:
    """Run `body` in a lab; returns what it said, by label: transfers as `Transfer`."""
    code = PRELUDE.format(directory=str(directory), topology=topology, parameters=parameters, body=body)
    said = run_inside(code, timeout=120.0)
    return {label: Transfer.read(value) if "stacks" in value else value for label, value in said}
