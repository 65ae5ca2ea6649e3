"""Why: no second subflow, a fallback to TCP, a path that carries nothing; told from packets of any MPTCP stack.

Rules:

- Captures may be of one place or of several, a file an interface if need be: each TCP connection knows which file saw
  it nearer to who opened it. With two places what was sent and what arrived are compared; with one they are the same.
- What a finding says is shown by packets, by their number in their file. What they do not show is not made up: a
  finding says then what would tell.
- A finding is a value of `findings`, of a cause that stands in its table; a rule is a function that returns one or
  None. A new cause is a name in the table and a rule in the module that it belongs to.

    flows         TCP connections, as each file has them
    connections   MPTCP connections, by keys and tokens
    fallback      rules: why a connection is TCP
    joins         rules: why a subflow that was asked for did not come up, or went down
    addresses     rules: addresses that nobody joined, subflows that nobody asked for, and those that carry nothing
    findings      what is found, and the table of causes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis import mptcp_options as options
from analysis.capture_file import Unread
from analysis.why import addresses, connections, fallback, flows, joins
from analysis.why.connections import Connection
from analysis.why.findings import CAUSES, Finding
from analysis.why.flows import Seen

__all__ = ["CAUSES", "Explained", "Finding", "Report", "explain"]

_MOST_PLAIN = 3
"""So many connections without MPTCP are told of one by one; of more their number."""


@dataclass
class Explained:
    """A connection: what it is, its subflows with the bytes that they carried, and what is to be said of it."""

    number: int
    title: str
    subflows: list[str]
    findings: list[Finding]

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found = [finding.document() for finding in self.findings]
        return {"number": self.number, "title": self.title, "subflows": self.subflows, "findings": found}


@dataclass
class Report:
    """What captures say: of each MPTCP connection, of what is none, and what they lack (`notes`)."""

    connections: list[Explained] = field(default_factory=list)
    others: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "connections": [one.document() for one in self.connections],
            "others": [finding.document() for finding in self.others],
            "notes": self.notes,
        }


def explain(paths: Sequence[Path]) -> Report:
    """Return what captures say of MPTCP connections: of one place or several, of each perhaps a file an interface.

    Raises UnreadableFile.
    """
    unread = Unread()
    found = connections.sort(flows.read(paths, unread))
    report = Report()
    for number, connection in enumerate(found.connections, 1):
        findings = list(_findings(connection))
        report.connections.append(Explained(number, _title(connection), _subflows(connection), findings))
    report.others = [fallback.plain(flow) for flow in found.plain[:_MOST_PLAIN]]
    if (count := len(found.plain)) > _MOST_PLAIN:
        report.notes.append(f"{count} TCP connections did not ask for MPTCP; {_MOST_PLAIN} of them are told of")
    speaking = [flow for flow in found.headless if any(options.speaks(one.segment) for one in flow.all())]
    if speaking:
        what = f"{len(speaking)} TCP connections speak MPTCP and have no beginning here, {speaking[0]} the first"
        report.notes.append(f"{what}: whose subflows they are is not told; capture from before they are opened")
    report.notes += unread.notes()
    return report


def _findings(connection: Connection) -> Iterator[Finding]:
    """Return all that the rules find."""
    if (found := fallback.fell_back(connection)) is not None:
        yield found
        return
    end = connection.end_of_data
    asked = [flow for flow in connection.joins if end is None or flow.began_ns < end.time_ns]
    failures = [found for flow in asked if (found := joins.failed(connection, flow)) is not None]
    yield from _once([*failures, *map(joins.without_option, connection.stripped)])
    ended = (fallback.damaged(flow) or joins.went_down(connection, flow) for flow in connection.flows)
    yield from _once(found for found in ended if found is not None)
    if (found := addresses.elsewhere(connection)) is not None:
        yield found
        return
    yield from addresses.unjoined(connection)
    yield from addresses.unasked(connection)
    yield from addresses.idle(connection)


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Return the first of those that say the same of the same addresses, and how many they are: stacks try again."""
    alike: dict[tuple[object, ...], list[Finding]] = {}
    for one in findings:
        addresses = tuple(end.rpartition(":")[0] for end in one.about.split(" - "))
        alike.setdefault((addresses, one.cause), []).append(one)
    for first, *others in alike.values():
        yield replace(first, why=f"{first.why}; {len(others) + 1} times in all") if others else first


def _title(connection: Connection) -> str:
    if connection.first is None:
        return str(connection)
    return f"{connection}, MPTCP version {connection.version}"


def _subflows(connection: Connection) -> list[str]:
    """Return those that were up, with the payload that each end sent: what it sent twice, twice."""
    told = []
    for flow in connection.flows:
        if flow is connection.first or joins.is_up(flow):
            there, back = (_payload_bytes(flow.sent_by(end)) for end in (flow.opener, flow.other))
            told.append(f"{flow}: {there} bytes there, {back} back")
    return told


def _payload_bytes(seen: Iterable[Seen]) -> int:
    return sum(one.segment.payload_bytes for one in seen)
