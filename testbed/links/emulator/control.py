"""The lab's side of the emulator: one process for all links, from `start` to `stop`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

from testbed.errors import LabError
from testbed.input.plugins import exception_in
from testbed.links import wire_ends
from testbed.spec import Link
from testbed.spec.trace import PACKET_BYTES as TRACE_PACKET_BYTES

Counters = dict[str, dict[str, dict[str, int]]]
"""By link, by direction (`client->server`), by name: frames, but for `delivered_bytes`."""

_ANSWER_S = 10.0
"""Chosen: so long an emulator that hangs is waited for."""
_STOP_S = 2.0
"""Chosen: as for programs in hosts."""
_ROOT = Path(__file__).resolve().parents[3]


def direction_names(link: Link) -> tuple[str, str]:
    """How the two directions of a link are called, first that from its first end."""
    first, second = (end.host for end in link.ends)
    return f"{first}->{second}", f"{second}->{first}"


def _order(link: Link) -> dict[str, Any]:
    """A link as the emulator's process reads it."""
    return {
        "name": link.name,
        "interfaces": wire_ends(link),
        "carriers": _carriers(link),
        "mtu": link.mtu,
        "middleboxes": link.middleboxes,
        "directions": {
            name: {
                "settings": first.model_dump(mode="json"),
                "schedule": [
                    {"at_ns": at_ns, "up": up, **impairments.model_dump(mode="json")}
                    for at_ns, impairments, up in moments
                ],
                "trace": first.trace
                and {"opportunities_ms": first.trace.opportunities_ms, "packet_bytes": TRACE_PACKET_BYTES},
            }
            for name, first, moments in zip(direction_names(link), link.directions, link.timelines, strict=True)
        },
    }


def _carriers(link: Link) -> list[tuple[int, str, bool]]:
    """When which end of the wire goes down (an interface of a host loses its carrier) or up again."""
    changes: list[tuple[int, str, bool]] = []
    without: list[str] = []
    for change in link.schedule:
        if change.state == "up":
            changes += [(change.at_ns, wire_end, True) for wire_end in without]
            without = []
        elif change.carrier:
            ends = zip(link.ends, wire_ends(link), strict=True)
            without = [wire_end for end, wire_end in ends if change.carrier in (True, end.host)]
            changes += [(change.at_ns, wire_end, False) for wire_end in without]
    return changes


def _python_path() -> list[str]:
    """Where the user's own middleboxes are."""
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


class Emulation:
    """The running emulator; LabError when it does not start, and from every method once it has ended by itself."""

    def __init__(self, links: Sequence[Link], seed: int) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "testbed.links.emulator"],
            stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *_python_path()])},
            start_new_session=True,  # out of reach of the terminal's Ctrl-C: the lab ends it
        )  # fmt: skip
        order = {"seed": seed, "links": [_order(link) for link in links]}
        try:
            self.real_time: bool = self._ask(order)["real_time"]
        except LabError:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    def seed(self, seed: int) -> None:
        """Put all links into their first state and begin their dice anew."""
        self._ask({"seed": seed})

    def start_schedules(self) -> int:
        """Begin schedules and traces; returns when that was, in ns of the monotonic clock."""
        zero_ns: int = self._ask({"start": True})
        return zero_ns

    def set_middleboxes(self, link: str, middleboxes: Sequence[Mapping[str, Any]]) -> None:
        """Put other middleboxes on a link: new ones that know nothing of what has passed."""
        self._ask({"middleboxes": list(middleboxes), "link": link})

    def counters(self) -> Counters:
        """What became of the frames so far; beside the directions of a link its middleboxes."""
        counters: Counters = self._ask({"counters": True})
        return counters

    def stop(self) -> None:
        """End the process; may be called again."""
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            return
        try:
            self._process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _ask(self, question: dict[str, Any]) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(json.dumps(question) + "\n")
        if not select([stdout], [], [], _ANSWER_S)[0]:
            raise LabError(f"the link emulator did not answer within {_ANSWER_S:.0f} s", 1)
        answer = stdout.readline()
        if not answer:
            raise LabError(f"the link emulator has ended: {self._last_words()}", 1)
        return json.loads(answer)

    def _last_words(self) -> str:
        code = self._process.wait()
        assert self._process.stderr is not None
        words = self._process.stderr.read()
        if exception := exception_in(words):
            return exception
        lines = words.strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"
