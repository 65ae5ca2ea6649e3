"""The build back end of `pip install`: setuptools', which with MPTCP_LAB_COMPILE=1 compiles the core into the wheel.

That wheel is for one version of Python and one kind of machine; any other is pure Python. With `pip install -e` the
core is compiled in the checkout, as by `./lab build`.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  the hooks that stay as they are
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT: Final = Path(__file__).resolve().parent.parent
COMPILE: Final = os.environ.get("MPTCP_LAB_COMPILE", "0") not in ("", "0")

sys.path.insert(0, str(ROOT))


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what pip is to install before it builds: mypy too, when the core is compiled."""
    from mptcp_stack.build.unit import STACK

    mypy = f"mypy=={STACK.mypy()}" if STACK.mypy() else "mypy"
    return [*build_meta.get_requires_for_build_wheel(config_settings), *([mypy] if COMPILE else [])]


get_requires_for_build_editable = get_requires_for_build_wheel


class Wheel(bdist_wheel):
    """The wheel, which says that it holds compiled modules if it does."""

    def finalize_options(self) -> None:
        """Make the options final."""
        if COMPILE:
            self.distribution.has_ext_modules = lambda: True
        super().finalize_options()


class Packages(build_py):
    """The packages as they are to be installed."""

    def run(self) -> None:
        """Copy the sources, and compile them where they are then."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build has left is not of these sources
        super().run()
        if COMPILE:
            self._compile()

    def _compile(self) -> None:
        from mptcp_stack.build.make import BuildError, build
        from mptcp_stack.build.unit import STACK

        unit, work = STACK, None
        if not self.editable_mode:
            unit = STACK._replace(package=str(Path(self.build_lib, "mptcp_stack").absolute()))
            work = ROOT / "build" / "core"
        try:  # what it imports is not installed where wheels are made: whether it can be imported is not tried
            build(unit, lambda line: print(line, file=sys.stderr), work, try_it=False)
        except BuildError as error:
            sys.exit(f"error: the core is not compiled: {error}")  # of an exception setuptools makes more
