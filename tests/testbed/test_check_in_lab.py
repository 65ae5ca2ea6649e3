"""What `./lab check` says of networks that have all that MPTCP needs, and of such as lack something."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.testbed.lab_run import ROOT

pytestmark = [pytest.mark.root, pytest.mark.kernel]


def checked(*words: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the lines."""
    command = [sys.executable, "-m", "testbed", "check", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


SHIPPED = sorted(path.name.removesuffix(".yaml.j2") for path in (ROOT / "topologies").glob("*.yaml.j2"))


@pytest.mark.parametrize("topology", SHIPPED)
def test_nothing_is_wrong_with_what_comes_with_the_project(topology: str) -> None:
    code, lines = checked(topology)
    assert [line for line in lines if not line["well"]] == []
    assert code == 0
    assert any("reaches" in line["found"] for line in lines)


def test_kernels_as_they_are_have_no_endpoints() -> None:
    code, lines = checked("two-paths", "--plain")
    wrong = [line["found"] for line in lines if not line["well"]]
    assert code == 1
    assert any(line.startswith("no endpoint") for line in wrong)
