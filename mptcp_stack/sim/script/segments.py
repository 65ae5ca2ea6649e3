"""Segments as a script writes them: ``[addresses] flags start:end(length) [ack N] [win N] [<options>]``."""

import re
from dataclasses import dataclass
from typing import Final

from mptcp_stack.sim.script.content import content
from mptcp_stack.sim.script.knowledge import Flow, Knowledge
from mptcp_stack.sim.script.options import Notation, split_options
from mptcp_stack.storage import MASK_32
from mptcp_stack.wire import ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment

FLAGS: Final = {"F": FIN, "S": SYN, "R": RST, "P": PSH, ".": ACK, "E": ECE, "W": CWR}
ECN: Final = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
_SEGMENT: Final = re.compile(
    r"(?:\[(?P<ecn>\w+)\]\s*)?"
    r"(?:(?P<source>\w+)(?:\#(?P<number>\d+))?\s*>\s*(?P<target>\w+)\s+)?"
    r"(?P<flags>[FSRP.EW]+)\s+(?P<start>\d+):(?P<end>\d+)\((?P<length>\d+)\)"
    r"(?:\s+ack\s+(?P<ack>\d+))?(?:\s+win\s+(?P<window>\d+))?(?:\s+<(?P<options>.*)>)?"
)


@dataclass(frozen=True)
class Written:
    """A segment of a script. What is None was not written."""

    flow: tuple[int, int, int]
    """Number of our address, of the peer's, and of the flow between them."""
    flags: str
    start: int
    length: int
    ack: int | None
    window: int | None
    options: str | None
    ecn: str | None


def read(text: str) -> Written:
    """Raises ValueError."""
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise ValueError("must look like 'P. 1:101(100) ack 1 win 500 <options>'")
    if int(match["end"]) - int(match["start"]) != int(match["length"]):
        raise ValueError(f"{match['start']}:{match['end']} is not {match['length']} bytes long")
    if match["ecn"] is not None and match["ecn"] not in ECN:
        raise ValueError(f"[{match['ecn']}]: not one of {', '.join(ECN)}")
    ends = sorted((match["source"] or "local0", match["target"] or "remote0"))
    if not (ends[0].startswith("local") and ends[1].startswith("remote")):
        raise ValueError("addresses are local0, local1, ... and remote0, remote1, ...")
    flow = int(ends[0][5:]), int(ends[1][6:]), int(match["number"] or 1)

    def number(name: str) -> int | None:
        return None if match[name] is None else int(match[name])

    return Written(
        flow, _sorted(match["flags"]), int(match["start"]), int(match["length"]), number("ack"), number("window"),
        match["options"], match["ecn"],
    )  # fmt: skip


def _sorted(flags: str) -> str:
    return "".join(flag for flag in FLAGS if flag in flags)


def build(written: Written, knowledge: Knowledge) -> Segment:
    """The segment that the script's peer sends. Raises ValueError."""
    local, remote, number = written.flow
    flow = knowledge.flow(local, remote, number) or knowledge.new_inbound(local, remote, number)
    notation = Notation(knowledge, flow)
    payload = []
    if written.length:
        payload = [memoryview(content(_position(written), written.length))]
    flags = sum(FLAGS[flag] for flag in written.flags)
    ack = 0 if written.ack is None else (written.ack + (flow.local_isn or 0)) & MASK_32
    return Segment(
        knowledge.ip("remote", remote), knowledge.ip("local", local), flow.remote[1], flow.local[1],
        (written.start + flow.remote_isn) & MASK_32, ack, flags, 65535 if written.window is None else written.window,
        notation.read(written.options or "", payload), payload, written.length, ecn=ECN[written.ecn or "noecn"],
    )  # fmt: skip


def _position(written: Written) -> int:
    """Where in the stream the payload is, counted from 1: by its mapping if it has one."""
    mapped = re.search(r"\bdsn[48]=(\d+)", written.options or "")
    return int(mapped[1]) if mapped else written.start


def describe(segment: Segment, flow: Flow, knowledge: Knowledge) -> str:
    """A segment that the stack sent, all of it written out."""
    start = (segment.seq - (flow.local_isn or 0)) & MASK_32
    flags = "".join(letter for letter, flag in FLAGS.items() if segment.flags & flag)
    words = [flags, f"{start}:{start + segment.length}({segment.length})"]
    if (flow.local[0], flow.remote[0], flow.number) != (0, 0, 1):
        number = "" if flow.number == 1 else f"#{flow.number}"
        words.insert(0, f"local{flow.local[0]}{number} > remote{flow.remote[0]}")
    if segment.ecn:
        words.insert(0, f"[{next(name for name, bits in ECN.items() if bits == segment.ecn)}]")
    if segment.flags & ACK:
        words.append(f"ack {(segment.ack - flow.remote_isn) & MASK_32}")
    words.append(f"win {segment.window}")
    options = Notation(knowledge, flow).describe(segment)
    if options:
        words.append(f"<{','.join(options)}>")
    return " ".join(words)


def agrees(expected: Written, actual: Written) -> bool:
    """Whether a sent segment is what the script expects; ``...`` in an option stands for anything."""
    for name in ("flow", "flags", "start", "length"):
        if getattr(expected, name) != getattr(actual, name):
            return False
    for name in ("ack", "window"):
        if getattr(expected, name) not in (None, getattr(actual, name)):
            return False
    if expected.ecn is not None and ECN[expected.ecn] != ECN[actual.ecn or "noecn"]:
        return False
    return _options_agree(expected.options or "", actual.options or "")


def _options_agree(expected: str, actual: str) -> bool:
    if expected == "...":
        return True
    wanted = [part for part in split_options(expected) if part not in ("nop", "eol")]
    given = split_options(actual)
    if len(wanted) != len(given):
        return False
    for part in wanted:
        pattern = re.compile(re.escape(" ".join(part.split())).replace(r"\.\.\.", ".*"))
        match = next((one for one in given if pattern.fullmatch(one)), None)
        if match is None:
            return False
        given.remove(match)
    return True
