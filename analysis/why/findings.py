"""What is found of a connection: what came, what did not, and why, with the packets that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

CAUSES: Final = {
    "not asked": "the SYN did not ask for MPTCP",
    "no mptcp": "the host that was asked does not speak MPTCP there",
    "stripped": "something on the way removed the MPTCP option",
    "dropped": "packets with the option did not arrive",
    "unanswered": "the host that was asked did not answer",
    "refused": "a host refused, and perhaps said why",
    "hmac": "a signature was wrong: somebody changed what it covers, or another one answered",
    "reset on the way": "a RST came that its sender's host did not send",
    "reset": "a host reset it while the connection went on",
    "checksum failed": "data were changed on the way, and the checksum told",
    "mptcp stopped": "MPTCP options came no longer",
    "announcement lost": "an address was announced, and the announcement did not arrive",
    "announced, not joined": "an address was announced, and nobody asked to join it",
    "other ip version": "an address of another IP version than the connection's was announced, and nobody joined it",
    "never asked": "nobody announced an address or asked to join one",
    "too short": "the connection was over before a subflow could be used",
    "backup": "the subflow is for when there is no other",
    "not used": "the subflow was up and nothing was sent on it",
    "unknown": "what the captures have does not say",
}
"""By name: what a finding says."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it could be.

    `about`: what did not come up, or came otherwise; `cause`: of CAUSES; `why`: a sentence; `evidence`: packets, each
    with what it shows; `tell`: what would tell more, where this is not sure; `failure`: False for what is as it has to
    be, such as a backup that rests.
    """

    about: str
    cause: str
    why: str
    evidence: tuple[str, ...] = ()
    tell: str = ""
    failure: bool = True

    def __post_init__(self) -> None:
        assert self.cause in CAUSES, self.cause

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return vars(self) | {"evidence": list(self.evidence)}

    def __str__(self) -> str:
        told = f"{self.about}: {self.why}"
        shown = f" ({'; '.join(self.evidence)})" if self.evidence else ""
        return f"{told}{shown}{f'. To be sure: {self.tell}' if self.tell else ''}"
