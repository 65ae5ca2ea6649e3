"""The build back end of `pip install`: setuptools', which with MPTCP_LAB_COMPILE=1 compiles the core into the wheel.

That wheel is for one version of Python and one kind of machine; any other is pure Python.
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
        super().run()
        if COMPILE:
            from mptcp_stack.build.make import build
            from mptcp_stack.build.unit import STACK

            unit = STACK._replace(package=str(Path(self.build_lib, "mptcp_stack").absolute()))
            shutil.rmtree(unit.builds, ignore_errors=True)
            # What it imports is not installed where wheels are made: it cannot be tried.
            build(unit, lambda line: print(line, file=sys.stderr), work=ROOT / "build" / "core", try_it=False)
