"""An application level gateway: replaces a pattern in the stream by another of any length, as NATs do with FTP.

Sequence numbers, acknowledgements and SACK blocks are kept right for both ends from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BeforeValidator, Field

from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import SACK, Segment, add, change_edges, distance, split

_HEX = "hex:"


def _check_text(value: object) -> str:
    """Text, or bytes as `hex:0d0a`."""
    text = str(value)
    if text.startswith(_HEX):
        bytes.fromhex(text.removeprefix(_HEX))
    return text


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix(_HEX)) if text.startswith(_HEX) else text.encode()


Text = Annotated[str, BeforeValidator(_check_text)]


class Parameters(Directed):
    """`pattern` is replaced by `replacement`, both text or `hex:` and digits; at most `count` times each way.

    A pattern that lies in two segments is not found, as with real ones.
    """

    pattern: Annotated[Text, Field(min_length=1)] = "10,0,1,1"
    replacement: Text = "198,51,100,1"
    count: int = Field(default=1000, ge=1, le=10**6)


@dataclass(slots=True)
class _Edit:
    """A replacement: where its pattern was in the original stream, how long, and where it is in the new one."""

    start: int
    length: int
    moved: int
    new: bytes


@dataclass(slots=True)
class _Stream:
    """One direction of a connection: the replacements so far, in order, and how far it was searched."""

    edits: list[_Edit] = field(default_factory=list)
    searched: int | None = None

    def shifted(self, sequence: int) -> int:
        """A number of the original stream in the new one; the end of a pattern is the end of its replacement."""
        for edit in reversed(self.edits):
            beyond = distance(sequence, edit.start)
            if beyond >= edit.length:
                return add(sequence, edit.moved - edit.start + len(edit.new) - edit.length)
            if beyond > 0:
                return add(edit.moved, min(beyond, len(edit.new)))
        return sequence

    def restored(self, sequence: int) -> int:
        """A number of the new stream in the original one; within a replacement, that of its beginning."""
        for edit in reversed(self.edits):
            beyond = distance(sequence, edit.moved)
            if beyond >= len(edit.new):
                return add(sequence, edit.start - edit.moved + edit.length - len(edit.new))
            if beyond > 0:
                return edit.start
        return sequence

    def search(self, segment: Segment, pattern: bytes, new: bytes, count: int) -> None:
        """Note the patterns in what was not searched before."""
        searched = segment.sequence if self.searched is None else self.searched
        at = segment.payload.find(pattern, max(0, distance(searched, segment.sequence)))
        while at >= 0 and len(self.edits) < count:
            start = add(segment.sequence, at)
            self.edits.append(_Edit(start, len(pattern), self.shifted(start), new))
            at = segment.payload.find(pattern, at + len(pattern))
        end = add(segment.sequence, len(segment.payload))
        self.searched = end if distance(end, searched) > 0 else searched

    def rewritten(self, segment: Segment) -> bytes:
        """The segment's payload with every replacement, or that part of it that is the segment's."""
        payload, parts, done = segment.payload, [], 0
        for edit in self.edits:
            start = distance(edit.start, segment.sequence)
            end = start + edit.length
            if end <= 0 or start >= len(payload):
                continue
            parts.append(payload[done : max(start, 0)])
            parts.append(edit.new[max(-start, 0) : None if end <= len(payload) else len(payload) - start])
            done = min(end, len(payload))
        return b"".join([*parts, payload[done:]])


class ApplicationGateway(Middlebox[Parameters]):
    """A stream in which a pattern is replaced."""

    parameters_model = Parameters

    def begin(self) -> None:
        self._pattern, self._new = _bytes(self.parameters.pattern), _bytes(self.parameters.replacement)
        self._flows = Flows(lambda: (_Stream(), _Stream()))

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        streams = self._flows.of(segment)
        stream, back = streams[direction], streams[1 - direction]
        stream.search(segment, self._pattern, self._new, self.parameters.count)
        rewritten = segment.changed(
            sequence=stream.shifted(segment.sequence),
            payload=stream.rewritten(segment),
            acknowledgement=back.restored(segment.acknowledgement),
            options=tuple(
                change_edges(option, back.restored) if option.kind == SACK else option for option in segment.options
            ),
        )
        if rewritten == segment.changed():
            return [(direction, segment)]
        header_bytes = rewritten.ip_bytes - len(rewritten.payload)
        return [(direction, part) for part in split(rewritten, self.mtu_bytes - header_bytes)]
