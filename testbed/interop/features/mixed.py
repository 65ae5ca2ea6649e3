"""Scenarios between hosts of both IP versions: begun over one, joined over the other."""

from collections.abc import Mapping
from dataclasses import replace

from testbed.interop.checks import exactly
from testbed.interop.features.steps import JOINED
from testbed.interop.scenario import Family, Scenario
from testbed.stacks.base import CLIENT, SERVER

_UNTIL_JOINED = {CLIENT: "until MPJoinSynAckRx 1", SERVER: "until MPJoinAckRx 1"}
_NOT_JOINED = (exactly(CLIENT, "MPJoinSynTx", 0), exactly(SERVER, "MPJoinSynRx", 0))


def over(scenario: Scenario, family: Family) -> Scenario:
    """The scenario as it is played over a family.

    Mixed, the server announces its address of the other version, and the client joins there: from its second address
    if the scenario has one. A scenario of one path gets this join before its steps, or none after a fallback.
    """
    if family.first == family.second:
        return scenario
    scenario = replace(scenario, **scenario.mixed)
    return replace(scenario if scenario.second else _with_second_path(scenario), second=_told(scenario.second))


def _with_second_path(scenario: Scenario) -> Scenario:
    if not scenario.mptcp:
        return replace(scenario, checks=(*scenario.checks, *_NOT_JOINED))
    if scenario.lacking is not None:
        return scenario  # there may be nothing to wait for
    return replace(
        scenario,
        client=(_UNTIL_JOINED[CLIENT], *scenario.client),
        server=(_UNTIL_JOINED[SERVER], *scenario.server),
        checks=(*scenario.checks, *JOINED),
    )


def _told(second: Mapping[str, str]) -> dict[str, str]:
    """What second addresses are for when the client must be told of the server's: it joins with `fullmesh`."""
    flags = {SERVER: "signal"} | dict(second)
    if CLIENT in flags and "signal" not in flags[CLIENT]:
        flags[CLIENT] += " fullmesh"
    return flags
