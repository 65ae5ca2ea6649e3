"""The real curl, as a user would fetch a file: one request after the other, each on its own connection."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from testbed.loadgen.options import Endpoint
from testbed.loadgen.programs import required
from testbed.loadgen.summary import describe_ms

_COULD_NOT_CONNECT, _PARTIAL, _TIMED_OUT, _EMPTY_REPLY, _RECEIVE_FAILED = 7, 18, 28, 52, 56
_FAILURES = {
    _COULD_NOT_CONNECT: "unreachable",
    _PARTIAL: "short",
    _TIMED_OUT: "timeout",
    _EMPTY_REPLY: "short",
    _RECEIVE_FAILED: "reset",
}
"""curl's exit codes (curl(1)) under the reasons of :mod:`testbed.loadgen.client`."""


def command(target: Endpoint, size_bytes: int, requests: int, timeout_s: float) -> list[str]:
    """Return the command; it prints one line of JSON a request. Raises :class:`LabError` when curl is missing."""
    return [
        required("curl", "curl"), "--silent", "--output", "/dev/null", "--no-keepalive", "--http1.0",
        "--max-time", str(timeout_s), "--write-out", "%{json}\n", f"http://{target}/bytes/{size_bytes}?[1-{requests}]",
    ]  # fmt: skip


def parse_result(stdout: str, size_bytes: int, requests: int) -> dict[str, Any]:
    """Return curl's numbers under the keys of :mod:`testbed.loadgen.client`."""
    answers = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
    failures = Counter(reason for answer in answers if (reason := _failure(answer, size_bytes)))
    good = [answer for answer in answers if not _failure(answer, size_bytes)]
    duration_s = sum(answer["time_total"] for answer in answers)
    received_bytes = sum(answer["size_download"] + answer["size_header"] for answer in answers)
    rate = 1 / duration_s if duration_s else 0.0
    return {
        "generator": "curl",
        "size_bytes": size_bytes,
        "concurrency": 1,
        "requests": requests,
        "succeeded": len(good),
        "failed": failures.total(),
        "not_started": requests - len(answers),
        "failures": dict(failures),
        "duration_s": round(duration_s, 6),
        "requests_per_s": round(len(good) * rate, 3),
        "received_bytes": received_bytes,
        "transfer_bps": round(received_bytes * 8 * rate),
        "latency_ms": {
            "connect": describe_ms([round(answer["time_connect"] * 1e9) for answer in good]),
            "first_byte": describe_ms([round(answer["time_starttransfer"] * 1e9) for answer in good]),
            "total": describe_ms([round(answer["time_total"] * 1e9) for answer in good]),
        },
    }


def _failure(answer: dict[str, Any], size_bytes: int) -> str | None:
    if answer["exitcode"]:
        return _FAILURES.get(answer["exitcode"], "malformed")
    if answer["response_code"] != 200:
        return "status"
    return None if answer["size_download"] == size_bytes else "length"
