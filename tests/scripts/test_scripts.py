"""Every script in the folders beside this file (docs/scripts.md has the notation)."""

from pathlib import Path

import pytest

from mptcp_stack.sim.script import play
from mptcp_stack.sim.script.steps import load

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("*/*.pkt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[str(path.relative_to(HERE)) for path in SCRIPTS])
def test_script(path):
    play(load(path))
