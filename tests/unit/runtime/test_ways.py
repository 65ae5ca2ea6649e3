"""The picture in docs/stack.md of a segment's way in and a write's way out, beside what calls what in a transfer."""

import asyncio
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mptcp_stack.phy import Tun
from tests.unit.runtime.conftest import SERVER

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "stack.md"
LINE = re.compile(r"  \w+ +(?=[\w.]+)")
ROOM_COLUMNS = 12
BYTES = 300_000


def drawn() -> set[tuple[str | None, str]]:
    """(caller, called), as functions stand in each other in the picture; the caller is None for those that begin."""
    (picture,) = re.findall(r"```text\nin\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    found: set[tuple[str | None, str]] = set()
    above: list[tuple[int, str]] = []
    for line in picture.splitlines():
        if not LINE.match(line):
            above.clear()
            continue
        name = line[ROOM_COLUMNS:].split()[0]
        depth = line.index(name)
        while above and above[-1][0] >= depth:
            above.pop()
        found.add((above[-1][1] if above else None, name))
        above.append((depth, name))
    return found


@pytest.mark.pure("a profiler sees nothing of compiled calls")
def test_the_picture_says_what_calls_what(pair):
    picture = drawn()
    names = {name for _, name in picture}
    device = type(pair.loop.network.device)
    calls: set[tuple[str | None, str]] = set()

    def name_of(frame: FrameType) -> str:
        return frame.f_code.co_qualname.replace(f"{device.__name__}.", f"{Tun.__name__}.")

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or (called := name_of(frame)) not in names:
            return
        above = frame.f_back
        while above is not None and name_of(above) not in names:
            above = above.f_back
        calls.add((None if above is None else name_of(above), called))

    async def echo(reader, writer):
        writer.write(await reader.readexactly(BYTES))
        writer.close()

    async def transfer():
        reader, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(bytes(BYTES))
        await reader.readexactly(BYTES)
        writer.close()

    pair.serve_streams(echo)
    sys.setprofile(note)
    try:
        pair.run(transfer())
    finally:
        sys.setprofile(None)
    assert len(picture) > 20
    assert picture - calls == set()
    assert [name for name in names if name.startswith("Tun.") and not hasattr(Tun, name.removeprefix("Tun."))] == []
