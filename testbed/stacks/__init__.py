"""Stacks under test: what carries the connections of an experiment, each one small file.

A stack is named on the command line by a name of :data:`STACKS`, or as ``module:Class`` for a user's own. Another
congestion control than its own choice follows behind ``@``: ``kernel-tcp@reno``. Settings of a Python stack come last:
``python-mptcp@olia+scheduler=lowest-rtt+gso_max_bytes=1400``.

Rules:

- A stack prepares the hosts once a lab, says how programs are started on it, and judges afterwards whether it was
  really under test (``base``).
- A measuring function (``measure``, ``exchange``, ``frames``, ``setup``) owns the programs of one load. The server
  listens before the client starts; the client ends first. Counters are read before the first and after the last, and
  collectors run around all of it.
- A new stack is a file here, its name in ``STACKS``, and its look in ``analysis/style.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

from testbed.errors import LabError
from testbed.input.plugins import blamed, class_named
from testbed.input.validation import unknown
from testbed.stacks.base import Evidence, StackUnderTest

__all__ = ["STACKS", "Evidence", "StackUnderTest", "check", "create", "names", "own_labels"]

STACKS = {
    "kernel-tcp": "testbed.stacks.kernel_tcp:KernelTcp",
    "kernel-mptcp": "testbed.stacks.kernel_mptcp:KernelMptcp",
    "kernel-bond": "testbed.stacks.kernel_bond:KernelBond",
    "python-mptcp": "testbed.stacks.python_mptcp:PythonMptcp",
    "python-tcp": "testbed.stacks.python_tcp:PythonTcp",
    "python-server": "testbed.stacks.mixed:PythonServer",
    "python-client": "testbed.stacks.mixed:PythonClient",
}
"""Stacks by name; more classes of the same interface may be named directly."""


def names() -> list[str]:
    """Return the names of the stacks that come with the project."""
    return list(STACKS)


def own_labels(names: Iterable[str]) -> dict[str, str]:
    """Return what the user's own among these stacks are called, by name: the label of the class, and what was asked.

    Raises :class:`LabError` as `create` does.
    """
    found = {}
    for name in names:
        plain, *settings = name.split("+")
        plain, _, congestion = plain.partition("@")
        if ":" in plain:
            words = [str(create(name).label), congestion, *settings]
            found[name] = ", ".join(filter(None, words))
    return found


def check(name: str) -> None:
    """See without a lab that what a user asks of a stack exists, and that plug-ins can be made.

    Raises :class:`LabError`.
    """
    try:
        create(name).check()
    except LabError:
        raise
    except Exception as error:
        raise LabError(f"stack '{name}': {blamed(error)}") from error


def create(name: str, congestion: str | None = None) -> StackUnderTest:
    """Return the stack called ``name``, or of the class ``module:Class``, with what follows ``@`` and each ``+``.

    ``congestion`` overrides the stack's own choice of congestion control. Raises :class:`LabError` for a
    name that is neither, and for wrong settings.
    """
    name, *settings = name.split("+")
    name, _, wanted = name.partition("@")
    congestion = congestion or wanted or None
    place = STACKS.get(name, name)
    if ":" not in place:
        raise LabError(unknown("stack", name, [*STACKS, "module:Class"]))
    found = class_named(place, f"stack '{name}'", StackUnderTest, "congestion")
    try:
        stack = found(congestion)
        if settings:
            stack.configure(settings)
    except LabError:
        raise
    except Exception as error:
        raise LabError(f"stack '{name}': {blamed(error)}") from error
    return stack
