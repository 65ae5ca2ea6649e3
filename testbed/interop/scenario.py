"""What a feature's scenario says: both sides' settings and steps, what is in between, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from testbed.stacks.base import CLIENT, SERVER

if TYPE_CHECKING:
    from testbed.interop.checks import Check

ROLES = (CLIENT, SERVER)
"""The host in which our stack is; the kernel's is in the other."""


class Family(NamedTuple):
    """IP versions of the first address of each side, which the connection begins on, and of the second."""

    name: str
    first: int
    second: int


FAMILIES = {
    family.name: family
    for family in (Family("v4", 4, 4), Family("v6", 6, 6), Family("v4+v6", 4, 6), Family("v6+v4", 6, 4))
}


class Lacking(NamedTuple):
    """The kernel does not have a feature when `check` holds; `reason` says what was seen."""

    check: Check
    reason: str


PORT, JOIN_PORT = 5001, 5002
"""What the server listens on, and what it announces where an address has a port of its own."""

CHUNK = 200_000
"""Bytes of an exchange; what two subflows are to share is more."""
BEFORE_WRAP = CHUNK
"""Bytes that we may send before our data sequence numbers cross 2**32, where a scenario wants it."""
EXCHANGE = (f"send {CHUNK}", f"read {CHUNK}", "observe", "close")
ANSWER = (f"read {CHUNK}", f"send {CHUNK}", "observe", "read", "close")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One feature. Everything is said by role (client, server), so that either may be ours.

    `client`, `server`: steps (see `peer`). `second`: what a side's second address is for, as flags of the kernel's
    endpoints (`subflow`, `signal`, `backup`, `port N`); without it a side has one address. `first`: the same of the
    first one, which is an endpoint only then; `others`: of the two that are left. `ours`: settings of our stack,
    `kernel`: sysctls of the other host, `limits`: subflows and accepted addresses of its path manager, `kernel_mptcp`:
    whether its program asks for MPTCP. `rules`: of nftables in the router, `router`: commands there.
    `early`: the kernel's client hands over its first bytes with its SYN (RFC 7413, without asking for a cookie).
    `mptcp`: whether the connection must be MPTCP at its end. `intact`: whether all data must arrive as sent and both
    sides come to an orderly end; otherwise the checks say it all.
    `altered`: the router alters packets, whose checksums nobody computes before the end.
    `wraps`: our data sequence numbers begin below 2**32, less than `BEFORE_WRAP`.
    `lacking`: how to see that the kernel does not have the feature. `mixed`: fields that are different where the
    connection begins over one IP version and is joined over the other (see `features.mixed`).
    """

    name: str
    title: str
    section: str
    client: tuple[str, ...] = EXCHANGE
    server: tuple[str, ...] = ANSWER
    checks: tuple[Check, ...] = ()
    first: Mapping[str, str] = field(default_factory=dict)
    second: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    kernel: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[int, int] = (8, 8)
    kernel_mptcp: bool = True
    early: bool = False
    rules: tuple[str, ...] = ()
    router: tuple[str, ...] = ()
    mptcp: bool = True
    intact: bool = True
    altered: bool = False
    wraps: bool = False
    roles: tuple[str, ...] = ROLES
    lacking: Lacking | None = None
    mixed: Mapping[str, Any] = field(default_factory=dict)

    def steps(self, role: str) -> tuple[str, ...]:
        """The steps of a side."""
        return self.client if role == CLIENT else self.server


class Cell(NamedTuple):
    """One place of the table: a scenario, where our stack is, and over what."""

    scenario: Scenario
    ours: str
    family: Family

    @property
    def kernel(self) -> str:
        """The host whose kernel's stack is used."""
        return SERVER if self.ours == CLIENT else CLIENT

    @property
    def column(self) -> str:
        """The column of the table it is in."""
        return f"{self.ours} {self.family.name}"

    @property
    def key(self) -> str:
        """Names its directory."""
        return f"{self.scenario.name}/{self.ours}-{self.family.name}"
