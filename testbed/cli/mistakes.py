"""What ends a command before its end, in one line and an exit code; no traceback reaches a user.

A mistake of the lab's own stays findable: its traceback is in a file that the line names.
"""

from __future__ import annotations

import errno
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from analysis.errors import AnalysisError, Unforeseen
from testbed.cli.ownership import receiver
from testbed.errors import LabError

INTERNAL, WRONG_INPUT = 1, 2
"""Exit codes."""
_PROJECT: Final = Path(__file__).resolve().parents[2]

_OF_THE_MACHINE: Final = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV, errno.ENOENT, errno.ENOMEM, errno.ENOSPC, errno.ENOTDIR,
    errno.ENOTEMPTY, errno.EPERM, errno.EROFS, errno.ETXTBSY, errno.EXDEV,
}  # fmt: skip
"""What a user's files, disk and rights can be the cause of; any other error of the system is looked at as a mistake."""


def tell(error: Exception) -> int:
    """Say on standard error, in one line, what ended a command; return the exit code."""
    code = error.exit_code if isinstance(error, LabError) else WRONG_INPUT
    if isinstance(error, LabError):
        line = error.message
    elif isinstance(error, Unforeseen):
        line = f"{error} (traceback: {_keep(error)})"
    elif isinstance(error, AnalysisError):
        line = str(error)
    elif isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        line = _of_the_system(error)
    else:
        what, yours = _blamed(error)
        code = WRONG_INPUT if yours else INTERNAL
        line = f"{'' if yours else 'a mistake of the lab, or of a class of yours: '}{what} (traceback: {_keep(error)})"
    print(f"lab: {' '.join(line.split())}", file=sys.stderr)
    return code


def _blamed(error: Exception) -> tuple[str, bool]:
    """Return what is wrong, with the place in a user's code if it is there, and whether it is outside the project."""
    from mptcp_stack.runtime import blamed, place_of  # help must not wait for it

    place = place_of(error)
    return blamed(error), place is not None and not place.startswith(f"{_PROJECT}/")


def _of_the_system(error: OSError) -> str:
    places = " -> ".join(os.fsdecode(place) for place in (error.filename, error.filename2) if place is not None)
    what = error.strerror or str(error)
    return f"{places}: {what}{_whose(error)}" if places else what


def _whose(error: OSError) -> str:
    """Whose the place is that refuses, where it is somebody else's: what an earlier run as root left."""
    if error.errno not in (errno.EACCES, errno.EPERM) or not isinstance(error.filename, (str, bytes)):
        return ""
    place = Path(os.fsdecode(error.filename)).absolute()
    with suppress(OSError, KeyError):
        while not os.path.lexists(place):
            place = place.parent
        if (owner := place.stat().st_uid) != os.geteuid():
            return f" ({place} belongs to {pwd.getpwuid(owner).pw_name})"
    return ""


def _keep(error: Exception) -> str:
    """Write the traceback to a file of its own; return where, or why not."""
    import tempfile  # help must not wait for it
    import traceback

    try:
        descriptor, path = tempfile.mkstemp(prefix="mptcp-lab-", suffix=".log", text=True)
        with os.fdopen(descriptor, "w", errors="backslashreplace") as file:
            if owner := receiver():
                os.fchown(descriptor, *owner)
            traceback.print_exception(error, file=file)
    except OSError as failure:
        return f"not kept, {failure.strerror}"
    return path
