"""What the kernel's shapers do at the far end of a wire: rate and queue by a token bucket filter, the rest by netem.

TBF rather than HTB: one qdisc says it all, its `limit` is a bfifo, and the two measure alike (47.7 Mbit/s of TCP
payload at 50). With netem, TBF is its child: packets are delayed and lost first, then queued; so what waits is TBF's
queue alone and not what is on its way. Whatever the kernel refuses is an error; whatever TBF accepts is read back and
compared, netem's delay and loss are measured by the calibration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testbed.errors import LabError, Unsupported
from testbed.host.commands import run
from testbed.spec import Impairments

# How much may pass at once after a pause: a timer that fires late by less than this costs no throughput.
_BURST_NS = 1_000_000
_MIN_BURST_PACKETS = 10
# The kernel keeps rate and burst in units of its own; they come back up to this much different.
_ROUNDING = 0.01
# Packets on their way in netem: a second of a Gigabit of full packets.
_NETEM_LIMIT = 100_000


@dataclass(frozen=True)
class Shaping:
    """Rate in bit/s with Ethernet headers, queue and burst in bytes."""

    rate_bps: int
    queue_bytes: int
    burst_bytes: int


def burst_bytes(rate_bps: int, frame_bytes: int = 1514) -> int:
    """The bucket's depth at a rate: a millisecond's worth, but at least ten packets."""
    return max(_MIN_BURST_PACKETS * frame_bytes, rate_bps * _BURST_NS // 8 // 10**9)


def shaping(asked: Impairments, frame_bytes: int) -> Shaping | None:
    """What the token bucket filter has to do for a direction; None without a rate."""
    if not asked.rate_bps:
        return None
    queue = asked.queue_bytes or (asked.queue_packets or 0) * frame_bytes
    return Shaping(asked.rate_bps, queue, burst_bytes(asked.rate_bps, frame_bytes))


def commands(interface: str, asked: Impairments, frame_bytes: int) -> list[str]:
    """The commands of `tc` that make `interface` do to what leaves by it what is asked."""
    parent, handle = "root", "1:"
    lines = []
    if asked.beyond_shaping:
        lines.append(
            f"qdisc replace dev {interface} root handle 1: netem limit {_NETEM_LIMIT} {' '.join(_netem(asked))}"
        )
        parent, handle = "parent 1:1", "2:"
    filter_ = shaping(asked, frame_bytes)
    if filter_:
        lines.append(
            f"qdisc replace dev {interface} {parent} handle {handle} tbf rate {filter_.rate_bps}bit "
            f"burst {filter_.burst_bytes} limit {filter_.queue_bytes}"
        )
        if asked.queue_packets:
            lines.append(f"qdisc replace dev {interface} parent {handle}1 pfifo limit {asked.queue_packets}")
    return lines


def _netem(asked: Impairments) -> list[str]:
    """Arguments of netem, see tc-netem(8)."""
    words = []
    if asked.delay_ns:
        words.append(f"delay {asked.delay_ns}ns")
    if asked.burst_loss:
        bursts = asked.burst_loss
        in_bad = 1 - (1 - bursts.lost) * (1 - asked.loss)
        shares = (bursts.enter, bursts.leave, in_bad, asked.loss)
        words.append("loss gemodel " + " ".join(_percent(share) for share in shares))
    elif asked.loss:
        words.append(f"loss {_percent(asked.loss)}")
    if asked.duplicate:
        words.append(f"duplicate {_percent(asked.duplicate)}")
    return words


def _percent(share: float) -> str:
    return f"{share * 100:g}%"


def shape(interface: str, asked: Impairments, frame_bytes: int) -> None:
    """Do to what leaves by `interface` what is asked; Unsupported or LabError when it is not so afterwards."""
    for line in commands(interface, asked, frame_bytes):
        _tc(f"{interface}: this kernel cannot shape links with", line.split())
    filter_ = shaping(asked, frame_bytes)
    if filter_:
        verify(interface, filter_)


def _tc(refusal: str, argv: Sequence[str]) -> None:
    result = run(["tc", *argv], check=False)
    if result.returncode != 0:
        kind = next((word for word in argv if word in ("tbf", "netem", "pfifo")), argv[0])
        raise Unsupported(f"{refusal} {kind}: {' '.join(result.stderr.split())}")


def read_back(interface: str) -> Shaping | None:
    """The rate and queue that the kernel says it gives what leaves by `interface`; None when it does not shape it."""
    qdisc = _qdiscs(interface).get("tbf")
    if qdisc is None:
        return None
    options = qdisc["options"]
    return Shaping(options["rate"] * 8, options["limit"], options["burst"])


def counters(interface: str) -> dict[str, int]:
    """What the shapers of `interface` delivered and dropped so far; empty when there are none."""
    qdiscs = _qdiscs(interface)
    netem, filter_ = qdiscs.get("netem"), qdiscs.get("tbf")
    last = filter_ or netem
    if last is None:
        return {}
    dropped = filter_["drops"] if filter_ else 0
    counted = {"delivered": last["packets"], "delivered_bytes": last["bytes"], "queue_dropped": dropped}
    # netem counts what its child drops as well.
    return counted | ({"lost": netem["drops"] - dropped} if netem else {})


def _qdiscs(interface: str) -> dict[str, Any]:
    qdiscs = json.loads(run(["tc", "-s", "-j", "-r", "qdisc", "show", "dev", interface]).stdout)
    return {qdisc["kind"]: qdisc for qdisc in qdiscs}


def verify(interface: str, asked: Shaping) -> None:
    """LabError when the kernel's idea of the shaping is not the asked one."""
    got = read_back(interface)
    if got is None:
        raise LabError(f"{interface}: asked for {asked.rate_bps} bit/s, but the kernel does not shape it", 1)
    for field in ("rate_bps", "queue_bytes", "burst_bytes"):
        want, have = getattr(asked, field), getattr(got, field)
        if abs(have - want) > _ROUNDING * want:
            raise LabError(f"{interface}: asked for {field} {want}, but the kernel says {have}", 1)


def redirect(source: str, target: str) -> None:
    """Pass every frame that comes in by `source` out by `target`; Unsupported when the kernel cannot."""
    result = run(
        ["tc", "-batch", "-"],
        input=(
            f"qdisc replace dev {source} clsact\n"
            f"filter replace dev {source} ingress protocol all prio 1 handle 800::1 u32 match u32 0 0 "
            f"action mirred egress redirect dev {target}\n"
        ),
        check=False,
    )
    if result.returncode != 0:
        raise Unsupported(f"{source}: this kernel cannot redirect frames: {' '.join(result.stderr.split())}")
