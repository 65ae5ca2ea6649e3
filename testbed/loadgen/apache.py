"""The real thing, as a cross-check: apache2 serving the same files, ApacheBench asking for them.

The numbers come under the keys of :mod:`testbed.loadgen.client`; those that ApacheBench does not print are
left out. ApacheBench checks the length of each body, not its content.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from testbed.errors import LabError
from testbed.loadgen import content
from testbed.loadgen.options import Endpoint
from testbed.loadgen.programs import required
from testbed.loadgen.summary import PERCENTILES

MODULES = Path("/usr/lib/apache2/modules")
PROCESSES = 4
SERVER_USER = "www-data"
PID_FILE = "apache2.pid"
ERROR_LOG = "error.log"

_HERE = Path(__file__).parent
_FAILURES = {"Connect": "unreachable", "Receive": "reset", "Length": "length", "Exceptions": "malformed"}
_TIMES = re.compile(r"^(Connect|Total):\s+(\d+)\s+(\d+)\s+([\d.]+)\s+(\d+)\s+(\d+)", re.MULTILINE)
_PROGRESS = re.compile(r"^Completed (\d+) requests", re.MULTILINE)


def write_server_files(directory: Path, listen: Endpoint, sizes: Iterable[int], concurrency: int) -> Path:
    """Write configuration and documents of an apache2 for ``concurrency`` requests at once.

    ``/bytes/<n>`` is there for each n of ``sizes``. The directory must be one that the server's user can
    reach. Returns the configuration's path; raises :class:`LabError` when apache2's modules are missing.
    """
    # Only a cross-check needs it, and every experiment imports this module.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if not MODULES.is_dir():
        raise LabError(f"{MODULES} is missing: install the package apache2")
    documents = directory / "htdocs" / "bytes"
    documents.mkdir(parents=True)
    for size in sizes:
        (documents / str(size)).write_bytes(content.prefix(size))
    template = Environment(loader=FileSystemLoader(_HERE), undefined=StrictUndefined, autoescape=False).get_template(
        "apache2.conf.j2"
    )
    configuration = directory / "apache2.conf"
    configuration.write_text(
        template.render(
            directory=directory,
            pid_file=PID_FILE,
            error_log=ERROR_LOG,
            listen=listen,
            modules=MODULES,
            user=SERVER_USER,
            processes=PROCESSES,
            threads_per_process=concurrency // PROCESSES + 16,
        )
    )
    return configuration


def server_command(configuration: Path) -> list[str]:
    """Return the command that runs apache2 in the foreground; raises :class:`LabError` when it is missing."""
    return [required("apache2", "apache2"), "-D", "FOREGROUND", "-f", str(configuration)]


def client_command(
    target: Endpoint, size_bytes: int, requests: int, concurrency: int, timeout_s: float, percentiles: Path
) -> list[str]:
    """Return ApacheBench's command; it goes on after failed requests, and writes ``percentiles`` as CSV."""
    return [
        required("ab", "apache2-utils"), "-r", "-n", str(requests), "-c", str(concurrency),
        "-s", str(max(1, round(timeout_s))), "-e", str(percentiles), f"http://{target}/bytes/{size_bytes}",
    ]  # fmt: skip


def parse_progress(stderr: str) -> int:
    """Return how many requests ApacheBench has completed, by its error output so far."""
    found = _PROGRESS.findall(stderr)
    return int(found[-1]) if found else 0


def parse_result(stdout: str, percentiles: str, size_bytes: int, requests: int) -> dict[str, Any]:
    """Return ApacheBench's numbers from its report and its CSV of percentiles.

    Raises ``ValueError`` when the report is not complete.
    """
    completed = int(_field(stdout, "Complete requests"))
    failures = _failures(stdout)
    if completed * size_bytes != int(_field(stdout, "HTML transferred")) and not failures:
        # It takes the first response's length for the right one.
        failures = {"length": completed}
    failed = min(completed, sum(failures.values()))
    rate = float(_field(stdout, "Requests per second"))
    duration_s = completed / rate if rate else 0.0
    received_bytes = int(_field(stdout, "Total transferred"))
    return {
        "generator": "ab",
        "size_bytes": size_bytes,
        "concurrency": int(_field(stdout, "Concurrency Level")),
        "asked_requests": requests,
        "requests": requests,
        "succeeded": completed - failed,
        "failed": failed,
        "not_started": requests - completed,
        "failures": failures,
        "duration_s": round(duration_s, 6),
        "requests_per_s": round((completed - failed) / duration_s, 3) if duration_s else 0.0,
        "received_bytes": received_bytes,
        "transfer_bps": round(received_bytes * 8 / duration_s) if duration_s else 0,
        "latency_ms": _latency_ms(stdout, percentiles),
    }


def _field(report: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}:\s+([\d.]+)", report, re.MULTILINE)
    if found is None:
        raise ValueError(f"ab's report has no line {name!r}")
    return found.group(1)


def _failures(report: str) -> dict[str, int]:
    detail = re.search(r"^Failed requests:.*\n\s+\((.*)\)", report, re.MULTILINE)
    pairs = re.findall(r"(\w+): (\d+)", detail.group(1)) if detail else []
    failures = {_FAILURES[name]: int(number) for name, number in pairs if int(number)}
    if "Non-2xx responses" in report:
        failures["status"] = int(_field(report, "Non-2xx responses"))
    return failures


def _latency_ms(report: str, percentiles: str) -> dict[str, dict[str, float] | None]:
    times = {kind: [float(number) for number in numbers] for kind, *numbers in _TIMES.findall(report)}
    if not times:
        return {"connect": None, "total": None}
    minimum, mean, deviation, median, maximum = times["Connect"]
    connect = {"min": minimum, "mean": mean, "sd": deviation, "p50": median, "p100": maximum}
    served = {
        int(row["Percentage served"]): float(row["Time in ms"]) for row in csv.DictReader(percentiles.splitlines())
    }
    _, mean, deviation, _, _ = times["Total"]
    total = {"min": served[0], "mean": mean, "sd": deviation}
    return {"connect": connect, "total": total | {f"p{percent}": served[percent] for percent in PERCENTILES}}
