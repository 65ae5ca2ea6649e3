"""Programs of the system that a load needs."""

from __future__ import annotations

import shutil

from testbed.errors import LabError


def required(program: str, package: str) -> str:
    """Return the path of a program; raises :class:`LabError` with its Debian package when it is not installed."""
    path = shutil.which(program)
    if path is None:
        raise LabError(f"program {program} is missing: install the package {package}")
    return path
