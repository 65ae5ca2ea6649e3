"""Rate and queue of the far end of a wire: one token bucket filter with a drop-tail queue in bytes.

TBF rather than HTB: one qdisc says it all, its `limit` is a bfifo, and the two measure alike here (47.7 Mbit/s of
TCP payload at 50). Whatever the kernel refuses is an error; whatever it accepts is read back and compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from testbed.commands import run
from testbed.errors import LabError, Unsupported

# How much may pass at once after a pause: a timer that fires late by less than this costs no throughput.
_BURST_NS = 1_000_000
_MIN_BURST_BYTES = 10 * 1514
# The kernel keeps rate and burst in units of its own; they come back up to this much different.
_ROUNDING = 0.01


@dataclass(frozen=True)
class Shaping:
    """Rate in bit/s with Ethernet headers, queue and burst in bytes."""

    rate_bps: int
    queue_bytes: int
    burst_bytes: int


def burst_bytes(rate_bps: int) -> int:
    """The bucket's depth at a rate: a millisecond's worth, but at least ten packets."""
    return max(_MIN_BURST_BYTES, rate_bps * _BURST_NS // 8 // 10**9)


def shape(interface: str, rate_bps: int, queue_bytes: int) -> None:
    """Shape what leaves by `interface`; Unsupported or LabError when it is not exactly so afterwards."""
    burst = burst_bytes(rate_bps)
    result = run(
        f"tc qdisc replace dev {interface} root tbf rate {rate_bps}bit burst {burst} limit {queue_bytes}".split(),
        check=False,
    )
    if result.returncode != 0:
        reason = " ".join(result.stderr.split())
        raise Unsupported(f"{interface}: this kernel cannot shape links with tbf: {reason}")
    verify(interface, Shaping(rate_bps, queue_bytes, burst))


def read_back(interface: str) -> Shaping | None:
    """What the kernel says it does to packets leaving by `interface`; None when it does not shape them."""
    qdisc = _tbf(interface)
    if qdisc is None:
        return None
    options = qdisc["options"]
    return Shaping(options["rate"] * 8, options["limit"], options["burst"])


def counters(interface: str) -> dict[str, int]:
    """What the shaper of `interface` delivered and dropped so far; empty when there is none."""
    qdisc = _tbf(interface)
    if qdisc is None:
        return {}
    return {"delivered": qdisc["packets"], "delivered_bytes": qdisc["bytes"], "queue_dropped": qdisc["drops"]}


def _tbf(interface: str) -> dict[str, Any] | None:
    qdiscs = json.loads(run(["tc", "-s", "-j", "-r", "qdisc", "show", "dev", interface]).stdout)
    return next((qdisc for qdisc in qdiscs if qdisc["kind"] == "tbf"), None)


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
