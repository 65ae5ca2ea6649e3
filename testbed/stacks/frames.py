"""Measuring applications in real time: frames with their delays, dialogues, and traffic that crosses a load's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.collectors.collection import NOTHING, Wanted
from testbed.host.process import Program, announced_ready, running
from testbed.loadgen.options import Endpoint
from testbed.loadgen.traffic import parse_model
from testbed.placement import ANYWHERE, Placement
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER, StackUnderTest
from testbed.stacks.measure import (
    ANY,
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

FRAMES_PORT = 5003
CROSS_PORT = 5100
_MODULE = "testbed.loadgen.frames"


@dataclass(frozen=True)
class FramesLoad:
    """One connection that carries what ``traffic`` says (see :mod:`testbed.loadgen.traffic`) for so long.

    ``direction`` is ``upload``, ``download``, ``both`` or ``dialogue`` as the client sees it; in a dialogue each frame
    is answered by one of ``answer_bytes``. ``seed`` draws what is random in it.

    Raises :class:`LabError` for ``traffic`` that the programs would refuse.
    """

    traffic: str
    direction: str
    seconds: float
    answer_bytes: int = 1000
    seed: int = 1
    extra_s: float = 60.0

    def __post_init__(self) -> None:
        parse_model(self.traffic)

    @property
    def time_limit_s(self) -> float:
        """When the whole must be over: frames that are late are waited for."""
        return self.seconds + self.extra_s


def frames(
    lab: Lab, stack: StackUnderTest, load: FramesLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure one connection of frames; the times of each are in ``frames-<direction>.csv``.

    Raises :class:`Unsupported`, or :class:`LabError` if a program fails.
    """
    stack.require("bulk")
    trial = Trial(
        server=stack.command(lab, SERVER, _MODULE, *_server_arguments(FRAMES_PORT), "--raw", str(directory)),
        client=stack.command(
            lab, CLIENT, _MODULE, *_client_arguments(Endpoint(stack.server_address(lab), FRAMES_PORT), load),
            "--raw", str(directory), "--time-limit-s", str(load.time_limit_s),
        ),
        ready=announced_ready,
        limit_s=load.time_limit_s,
        connections=1,
        long_lived=True,
        share=lambda _, elapsed_s: elapsed_s / load.seconds,
        read=_read,
    )  # fmt: skip
    return measure_trial(lab, stack, trial, directory, placement, progress, collect)


def _read(server: Program, client: Program) -> tuple[dict[str, Any], Reports]:
    """Read both ends' accounts: what the client sent is known as received by the server, and the other way round."""
    result, reports = read_own(server, client)
    heard = (last_document(server)["connections"] or [{}])[-1]
    received, direction = result.pop("received"), result["direction"]
    result["failure"] = result["failure"] or heard.get("failure", "short")
    if direction in ("upload", "both"):
        result["upload"] = heard.get("received")
        if not (heard.get("received") or {}).get("complete"):
            result["failure"] = result["failure"] or "short"
    if direction != "upload":
        result["dialogue" if direction == "dialogue" else "download"] = received
    return result, reports


def _server_arguments(port: int) -> list[str]:
    return ["server", "--listen", f"{ANY}:{port}"]


def _client_arguments(target: Endpoint, load: FramesLoad) -> list[str]:
    return [
        "client", "--connect", str(target), "--traffic", load.traffic, "--direction", load.direction,
        "--seconds", str(load.seconds), "--seed", str(load.seed), "--answer-bytes", str(load.answer_bytes),
    ]  # fmt: skip


@dataclass(frozen=True)
class CrossFlow:
    """One connection of the kernel's TCP beside the load: ``traffic`` goes from one host to the other."""

    sender: str
    receiver: str
    traffic: str = "on-off"
    seed: int = 1


@contextmanager
def cross_traffic(lab: Lab, flows: Sequence[CrossFlow], directory: Path, seconds: float) -> Iterator[None]:
    """Let ``flows`` run during the block, for ``seconds`` at the most.

    What each received is in ``cross-<n>-server.stdout`` afterwards. Raises :class:`LabError` when one does not start.
    """
    stack = create("kernel-tcp")
    with ExitStack() as programs:
        for number, flow in enumerate(flows, 1):
            port, name = CROSS_PORT + number, f"cross-{number}"
            receiver, sender = lab.hosts[flow.receiver], lab.hosts[flow.sender]
            listen = stack.command(lab, flow.receiver, _MODULE, *_server_arguments(port))
            programs.enter_context(running(receiver, listen, directory, f"{name}-server")).await_start(announced_ready)
            load = FramesLoad(flow.traffic, "upload", seconds, seed=flow.seed)
            send = _client_arguments(Endpoint(receiver.addresses[0], port), load)
            programs.enter_context(
                running(sender, stack.command(lab, flow.sender, _MODULE, *send), directory, f"{name}-client")
            )
        yield
