"""Why MPTCP did not come up as wanted, told from both ends' counters in the user's words.

The names are those of the kernel's MIB; our own stack counts under the same names, so one table serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Numbers = Mapping[str, int]

JOINED_SHARE = 0.9
"""Least share of the expected subflows that must have joined before their absence is a problem."""


class Fallback(NamedTuple):
    """A counter of connections that turned into plain TCP, and what it means."""

    counter: str
    meaning: str


FALLBACKS = (
    Fallback("MPCapableFallbackSYNACK", "the SYN/ACK had no MP_CAPABLE (no MPTCP there, or removed)"),
    Fallback("MPCapableFallbackACK", "the third ACK came without MP_CAPABLE: it was removed on the way"),
    Fallback("MPFallbackTokenInit", "no free token for the connection's key"),
    Fallback("MPCapableDataFallback", "the first data came without a mapping"),
    Fallback("DssFallback", "data came without a mapping (DSS option removed on the way)"),
    Fallback("DSSCorruptionFallback", "a mapping did not fit the data"),
    Fallback("InfiniteMapTx", "an infinite mapping was sent after a checksum failure"),
    Fallback("InfiniteMapRx", "an infinite mapping was received: the peer fell back"),
    Fallback("MD5SigFallback", "TCP MD5 signatures exclude MPTCP"),
    Fallback("SimultConnectFallback", "both ends connected at once"),
    Fallback("MPCapableSYNTXDrop", "SYNs with MP_CAPABLE were lost, so the SYN was repeated without it"),
    Fallback("MPCapableSYNTXDisabled", "a lost SYN made it avoid MPTCP (net.mptcp.blackhole_timeout)"),
)  # fmt: skip


def _count(numbers: Numbers, name: str) -> int:
    return numbers.get(f"MPTcpExt{name}", 0)


def problems(client: Numbers, server: Numbers, connections: int, further_paths: int) -> list[str]:
    """Return everything that kept ``connections`` from MPTCP with a subflow on each of ``further_paths`` more paths.

    A connection that ends early may be over before a subflow has joined: give 0 further paths for such ones.
    """
    multipath = min(connections, _count(server, "MPCapableACKRX"))
    return fallback_problems(client, server, connections) + join_problems(client, server, multipath * further_paths)


def fallback_problems(client: Numbers, server: Numbers, connections: int) -> list[str]:
    """Return what kept connections from using MPTCP; empty when all ``connections`` did."""
    asked = _count(server, "MPCapableSYNRX")
    if not asked and not _count(client, "MPCapableSYNTX"):
        return ["no connection asked for MPTCP: the client's socket was plain TCP, or net.mptcp.enabled is 0"]
    problems = []
    if asked < connections:
        problems.append(f"only {asked} of {connections} connections reached the server with MP_CAPABLE")
    for fallback in FALLBACKS:
        for end, numbers in (("client", client), ("server", server)):
            if number := _count(numbers, fallback.counter):
                problems.append(
                    f"{number} fallbacks to plain TCP seen by the {end}: {fallback.meaning} "
                    f"(MPTcpExt{fallback.counter})"
                )
    return problems


class JoinStep(NamedTuple):
    """One step of MP_JOIN: where it is counted, and why it may not have happened."""

    end: str
    counter: str
    missing: str


JOIN_STEPS = (
    JoinStep("client", "MPJoinSynTx", "the client never tried"),
    JoinStep("server", "MPJoinSynRx", "SYN lost, or its MP_JOIN stripped: the client sent it, the server saw none"),
    JoinStep("client", "MPJoinSynAckRx", "join reset: no SYN/ACK with MP_JOIN came back to the client"),
    JoinStep("server", "MPJoinAckRx", "third ACK lost: the client answered, the server saw no valid ACK"),
)
"""In the order in which they happen; the first one that is missing names the trouble."""

_SYN_ARRIVES = JOIN_STEPS[1]
_RESET_BEFORE_ACCEPTED = "TcpExtEmbryonicRsts"
"""Of the kernel: a handshake that its opener reset, as a client does that asked to join and was answered without."""

JOIN_REFUSALS = {
    ("server", "MPJoinNoTokenFound"): "join reset: the server knew no connection with the token (closed already?)",
    (
        "server",
        "MPJoinRejected",
    ): "join reset: the server's limit of subflows was reached, or it may not be joined",
    ("server", "MPJoinAckHMacFailure"): "the client's HMAC was wrong",
    ("client", "MPJoinSynAckHMacFailure"): "the server's HMAC was wrong",
    ("client", "MPJoinSynTxBindErr"): "the client could not use its local address",
    ("client", "MPJoinSynTxConnectErr"): "route missing: the client could not send to the announced address",
    ("client", "MPJoinSynTxCreatSkErr"): "the client could not make a socket for the subflow",
    ("client", "AddAddrDrop"): "the client dropped ADD_ADDR: one before it was not dealt with yet, or had its ID",
}
"""Counters that say it outright, and what they mean."""


def _never_tried(client: Numbers, server: Numbers) -> str:
    if _count(client, "AddAddr"):
        return "the client knew the address and did not join: limit 0, or no route to it"
    if _count(server, "AddAddrTx"):
        return "the announcement (ADD_ADDR) was lost"
    return (
        "address never announced, and no join ordered: the server has no endpoint for it, or no address there, "
        "or the path managers are in user space and had no orders"
    )


def join_problems(client: Numbers, server: Numbers, expected: int) -> list[str]:
    """Return why fewer than ``expected`` subflows joined (a tenth may be missing); empty when enough did."""
    joined = _count(server, "MPJoinAckRx")
    if joined >= expected * JOINED_SHARE:
        return []
    ends = {"client": client, "server": server}
    refusals = [
        f"{meaning} ({_count(ends[end], counter)} times)"
        for (end, counter), meaning in JOIN_REFUSALS.items()
        if _count(ends[end], counter)
    ]
    reasons = "; ".join(refusals) or _missing_step(client, server)
    what = "no second subflow" if not joined else f"only {joined} of {expected} further subflows joined"
    return [f"{what}: {reasons}"]


def _missing_step(client: Numbers, server: Numbers) -> str:
    ends = {"client": client, "server": server}
    step = next((step for step in JOIN_STEPS if not _count(ends[step.end], step.counter)), None)
    if step is None:
        return "some were lost or came too late"
    if step is _SYN_ARRIVES and server.get(_RESET_BEFORE_ACCEPTED):
        return "MP_JOIN stripped: the client sent it, its SYN came to the server without it"
    return _never_tried(client, server) if step is JOIN_STEPS[0] else step.missing
