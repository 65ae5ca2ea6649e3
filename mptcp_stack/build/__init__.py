"""The compiled core: modules of the stack, compiled by mypyc. It is a cache of the sources, never the truth.

A *build* of the stack is how it runs in a process: *compiled*, with this core, or *pure* Python.

Rules:

1. Sources are what people read, edit and debug. What was compiled is found by their hash (`Unit.key`): after an edit
   all of the core runs as Python, until it is compiled anew.
2. All or nothing: compiled and interpreted classes of the core do not meet in a process.
3. What is wrong with what was compiled costs its speed and one line, never the stack.

How it works. `mptcp_stack` calls `use_compiled` before anything else in it is imported. If something was compiled under
the key, a finder (`finder`) gives its modules to all imports that follow; the key (`unit`) takes 4 ms. `./lab build`
compiles (`make`): mypyc turns the sources into C (`translate`), and of it what is new is compiled on all cores
(`steps`).
"""

from __future__ import annotations

import os
import sys
from typing import Final, Literal

from .unit import STACK, Unit

PURE: Final = "MPTCP_LAB_PURE"
"""The variable of the environment that, set to 1, keeps the stack pure Python."""

_decided: Final[set[str]] = set()
_running: Literal["compiled", "pure"] = "pure"
_problem = ""


def use_compiled(unit: Unit = STACK) -> None:
    """Let the stack be imported compiled, where that is possible and `MPTCP_LAB_PURE` is not set.

    In a process that is decided once: whatever has been imported would stay what it is.
    """
    global _running, _problem
    if unit.package in _decided:
        return
    _decided.add(unit.package)
    _running, _problem = "pure", ""
    if os.environ.get(PURE, "0") not in ("", "0") or not unit.was_compiled():
        return
    try:
        folder = os.path.join(unit.builds, unit.key())
        if not os.path.isdir(folder):
            _problem = "is of other sources"
            return
        from .finder import CompiledFinder  # takes longer than all else here

        sys.meta_path.insert(0, CompiledFinder(unit, folder))
        _running = "compiled"
    except (ImportError, OSError, ValueError) as error:
        _problem = f"cannot be loaded ({error})"


def running() -> Literal["compiled", "pure"]:
    """Return which build of the stack runs in this process."""
    return _running


def notice() -> str:
    """Return in a line why pure Python runs although the stack was compiled; "" when it is as asked for."""
    return f"the stack runs as pure Python: what was compiled {_problem}; './lab build' compiles it" if _problem else ""
