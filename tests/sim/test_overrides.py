"""What a plug-in overrides is used by the compiled core as often as by pure Python: nothing is silently ignored."""

import json
import os
import subprocess
import sys

import pytest

from mptcp_stack.build import PURE
from tests.sim.overrides import KINDS, counts_of


@pytest.fixture(scope="module")
def pure() -> dict[str, dict[str, int]]:
    command = [sys.executable, "-m", "tests.sim.overrides"]
    printed = subprocess.run(command, env={**os.environ, PURE: "1"}, stdout=subprocess.PIPE, check=True).stdout
    counts: dict[str, dict[str, int]] = json.loads(printed)
    return counts


@pytest.mark.parametrize(("setting", "name"), [(setting, name) for setting in KINDS for name in KINDS[setting]])
def test_it_is_used_as_often(setting: str, name: str, pure: dict[str, dict[str, int]]) -> None:
    expected = pure[f"{setting}:{name}"]
    assert sum(expected.values()) > 0
    assert counts_of(setting, KINDS[setting][name], expected) == expected
