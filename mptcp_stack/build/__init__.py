"""The compiled core: the stack's modules, compiled by mypyc. It is a cache of the sources, never the truth.

Rules:

1. Sources are what people read, edit and debug. What was compiled is found by their hash (`Unit.key`): after an edit
   all of the unit is Python, until it is compiled anew.
2. All or nothing: compiled and interpreted classes of a unit do not meet in a process.
3. What is wrong with a build costs its speed and one line, never the stack.

How it works. `mptcp_stack` calls `use_compiled` before anything else in it is imported. If there is a build under the
key, a finder (`finder`) gives its modules to all imports that follow; the key (`unit`) takes 4 ms. `./lab build` makes
builds (`make`): mypyc turns the sources into C (`translate`), and what of it is new is compiled on all cores (`steps`).
"""

from __future__ import annotations

import os
import sys
from typing import Final, Literal

from .unit import STACK, Unit

PURE: Final = "MPTCP_LAB_PURE"
"""The variable of the environment that, set to 1, keeps the stack pure Python."""

_running: Literal["compiled", "pure"] = "pure"
_problem = ""


def use_compiled(unit: Unit = STACK) -> None:
    """Let the stack be imported compiled, where that is possible and `MPTCP_LAB_PURE` is not set."""
    global _running, _problem
    _running, _problem = "pure", ""
    if os.environ.get(PURE, "0") not in ("", "0") or not unit.was_compiled():
        return
    folder = os.path.join(unit.builds, unit.key())
    if not os.path.isdir(folder):
        _problem = "is of other sources"
        return
    from .finder import CompiledFinder  # takes longer than all else here

    try:
        sys.meta_path.insert(0, CompiledFinder(unit, folder))
        _running = "compiled"
    except (ImportError, OSError, ValueError) as error:
        _problem = f"cannot be loaded ({error})"


def running() -> Literal["compiled", "pure"]:
    """Return which form of the stack runs in this process: compiled by mypyc, or pure Python."""
    return _running


def notice() -> str:
    """Return in a line why pure Python runs although the stack was compiled; "" when it is as asked for."""
    return f"the stack runs as pure Python: what was compiled {_problem}; './lab build' compiles it" if _problem else ""
