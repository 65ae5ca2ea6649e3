"""Measuring an exchange: both ends send at once, in rounds, while what each link carries is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.collectors.collection import NOTHING, Wanted
from testbed.host.process import Program, announced_ready
from testbed.loadgen.options import Endpoint
from testbed.placement import ANYWHERE, Placement
from testbed.stacks.base import CLIENT, SERVER, StackUnderTest
from testbed.stacks.measure import (
    ANY,
    BULK_PORT,
    LONG_LIVED_BYTES,
    Measurement,
    Progress,
    Reports,
    Trial,
    last_document,
    measure_trial,
    read_own,
)

if TYPE_CHECKING:
    from testbed.lab import Lab

_NO_CONNECTION: Mapping[str, Any] = {"sent_bytes": 0, "received_bytes": 0, "content_ok": True, "failure": "unreachable"}


@dataclass(frozen=True)
class ExchangeLoad:
    """So many bytes each way in each round, with pauses in between."""

    round_bytes: int
    rounds: int
    pause_s: float
    time_limit_s: float = 60.0

    @property
    def long_lived(self) -> bool:
        """Whether it lasts long enough for every path to join."""
        return self.round_bytes * self.rounds >= LONG_LIVED_BYTES


class _Carried:
    """Bytes that each link delivered, both ways, whenever it was looked at."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._seen: list[dict[str, int]] = []
        self.look()

    def look(self) -> None:
        """Look now."""
        self._seen.append(
            {
                link: sum(numbers.get("delivered_bytes", 0) for numbers in directions.values())
                for link, directions in self._lab.link_counters().items()
            }
        )

    def late_bytes(self) -> dict[str, int]:
        """Return what each link carried after the moment when half of all had been carried."""
        totals = [sum(seen.values()) for seen in self._seen]
        half = (totals[0] + totals[-1]) / 2
        middle = min(range(len(totals)), key=lambda index: abs(totals[index] - half))
        return {link: last - self._seen[middle][link] for link, last in self._seen[-1].items()}


def exchange(
    lab: Lab, stack: StackUnderTest, load: ExchangeLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure one exchange. The result has the server's account as ``server``, and ``late_bytes`` by link.

    ``late_bytes`` is what each link carried in the second half of the bytes. Raises as
    :func:`testbed.stacks.measure.http` does.
    """
    stack.require("bulk")
    carried = _Carried(lab)

    def share(_: Program, elapsed_s: float) -> float:
        carried.look()
        return elapsed_s / load.time_limit_s

    def read(server: Program, client: Program) -> tuple[dict[str, Any], Reports]:
        carried.look()
        result, reports = read_own(server, client)
        accounts = last_document(server)["exchanges"]
        result["server"] = accounts[0] if accounts else dict(_NO_CONNECTION)
        result["late_bytes"] = carried.late_bytes()
        return result, reports

    trial = Trial(
        server=stack.command(lab, SERVER, "testbed.loadgen.exchange", "server", "--listen", f"{ANY}:{BULK_PORT}"),
        client=stack.command(
            lab, CLIENT, "testbed.loadgen.exchange", "client",
            "--connect", str(Endpoint(stack.server_address(lab), BULK_PORT)),
            "--bytes", str(load.round_bytes), "--rounds", str(load.rounds), "--pause-s", str(load.pause_s),
            "--time-limit-s", str(load.time_limit_s),
        ),
        ready=announced_ready,
        limit_s=load.time_limit_s,
        connections=1,
        long_lived=load.long_lived,
        share=share,
        read=read,
    )  # fmt: skip
    return measure_trial(lab, stack, trial, directory, placement, progress, collect)
