"""What a result must say about where it came from: code, kernel, packages, processors."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from mptcp_stack.build import running
from testbed.placement.cpus import governors

PROJECT = Path(__file__).resolve().parents[2]

MEASURES = ("mptcp_stack", "testbed", "experiments", "examples", "topologies", "requirements.lock")
"""Where in a checkout a change may change a result. `keep` itself writes documents between two measurements."""

_PACKAGES = ("mininet", "pydantic", "httptools", "pyroute2", "jinja2", "pandas", "matplotlib")


def version() -> str:
    """Return the version of this distribution, from pyproject.toml or from what pip installed."""
    try:
        return str(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"])
    except FileNotFoundError:
        return metadata.version("mptcp-lab")


def provenance() -> dict[str, Any]:
    """Return git state, kernel, Python, package versions, processors and the build of our stack here (JSON values)."""
    return {
        "version": version(),
        "git": git(),
        "kernel": f"{platform.system()} {platform.release()} {platform.version()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "cpu": _processors(),
        "build": running(),
    }


def git() -> dict[str, Any]:
    """Return the commit, and whether what measures differs from it (`dirty`: not documents, tests or kept results).

    Both are None outside a checkout or before the first commit.
    """
    try:
        commit = _output("git", "rev-parse", "HEAD")
        changes = _output("git", "status", "--porcelain", "--untracked-files=no", "--", *MEASURES)
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(changes)}


def _output(*argv: str) -> str:
    done = subprocess.run(argv, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def _processors() -> dict[str, Any]:
    """Return model, the processors this process may use, and core, package and frequency governor of each."""
    topology = Path("/sys/devices/system/cpu")
    governed_by = governors()
    usable = sorted(os.sched_getaffinity(0))
    return {
        "model": _cpu_model(),
        "usable": usable,
        "map": [
            {
                "cpu": cpu,
                "core": _number(topology / f"cpu{cpu}/topology/core_id"),
                "package": _number(topology / f"cpu{cpu}/topology/physical_package_id"),
                "governor": governed_by.get(cpu),
            }
            for cpu in usable
        ],
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "CPU part")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
