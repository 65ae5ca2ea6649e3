"""From evidence to a verdict: passed, failed and why, or unsupported by the kernel and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from testbed.interop.checks import Evidence
from testbed.interop.scenario import ROLES
from testbed.runs.results import FAILED, PASSED, UNSUPPORTED

_MOST_FAULTS = 5
"""Chosen: of more the first ones are told, which mostly are the cause of the others."""


class Verdict(NamedTuple):
    """What came of a cell, why it did not pass, and which build of our stack took part, as its program said."""

    outcome: str
    why: list[str]
    build: str | None = None


def judge(evidence: Evidence) -> Verdict:
    """Hold the evidence against what every scenario demands and against this one's own checks."""
    scenario = evidence.cell.scenario
    if scenario.lacking is not None and scenario.lacking.check.problem(evidence) is None:
        return Verdict(UNSUPPORTED, [scenario.lacking.reason], evidence.build)
    why = [*evidence.died, *_application_problems(evidence), *_packet_problems(evidence)]
    why += [problem for check in scenario.checks if (problem := check.problem(evidence)) is not None]
    return Verdict(FAILED if why else PASSED, why, evidence.build)


def _application_problems(evidence: Evidence) -> Iterator[str]:
    scenario = evidence.cell.scenario
    for role in ROLES:
        stack, outcomes = evidence.stack(role), evidence.outcomes.get(role, [])
        if len(outcomes) != 1:
            yield f"{stack}: {len(outcomes)} connections, not 1"
        other = scenario.steps(ROLES[role == ROLES[0]])
        sent = sum(int(step.split()[1]) for step in other if step.startswith("send "))
        if scenario.intact and evidence.left.get(role):
            yield f"{stack}: did not end: {'; '.join(evidence.left[role])}"
        for outcome in outcomes:
            if outcome["mptcp"] != scenario.mptcp:
                yield f"{stack}: {'fell back to TCP' if scenario.mptcp else 'is still MPTCP'}"
            if not outcome["content_ok"] and scenario.intact:
                yield f"{stack}: data is not what was sent"
            if scenario.intact and outcome["error"]:
                yield f"{stack}: step '{outcome['failed']}' ended with {outcome['error']}"
            elif scenario.intact and outcome["received"] != sent:
                yield f"{stack}: received {outcome['received']} bytes of {sent}"


def _packet_problems(evidence: Evidence) -> Iterator[str]:
    if not evidence.frames:
        yield "nothing was captured"
    faults = [fault for frame in evidence.frames for fault in frame.faults(not evidence.cell.scenario.altered)]
    yield from faults[:_MOST_FAULTS]
    if len(faults) > _MOST_FAULTS:
        yield f"and {len(faults) - _MOST_FAULTS} more faults of packets"
