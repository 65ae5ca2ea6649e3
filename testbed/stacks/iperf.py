"""iperf3 as the kernel's bar for bulk transfers; numbers under the keys of :mod:`testbed.loadgen.bulk`."""

from __future__ import annotations

import json
from typing import Any

from testbed.errors import LabError
from testbed.loadgen.programs import required


def server_command(port: int) -> list[str]:
    """Return the command of a server for one test."""
    return [required("iperf3", "iperf3"), "--server", "--one-off", "--forceflush", "--port", str(port)]


def client_command(address: str, port: int, direction: str, seconds: float) -> list[str]:
    """Return the command of a client; ``download`` makes the server send."""
    reverse = ["--reverse"] if direction == "download" else []
    return [
        required("iperf3", "iperf3"), "--client", address, "--port", str(port),
        "--time", str(max(1, round(seconds))), "--json", *reverse,
    ]  # fmt: skip


def parse_result(stdout: str, direction: str) -> dict[str, Any]:
    """Return the receiver's numbers of ``iperf3 --json``; raises :class:`LabError` with its own error."""
    try:
        report = json.loads(stdout)
        if "error" in report:
            raise LabError(f"iperf3: {report['error']}", exit_code=1)
        received = report["end"]["sum_received"]
    except (ValueError, KeyError) as error:
        raise LabError(f"iperf3 gave no result ({error})", exit_code=1) from error
    return {
        "generator": "iperf3",
        "direction": direction,
        "received_bytes": int(received["bytes"]),
        "duration_s": round(float(received["seconds"]), 6),
        "throughput_bps": round(float(received["bits_per_second"])),
        "content_ok": None,
        "failure": None,
    }
