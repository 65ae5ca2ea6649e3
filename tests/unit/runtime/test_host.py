"""TUN devices and the host's side of the network, each check in a network namespace of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("namespaced.py")
NAMESPACE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.mark.root
@pytest.mark.parametrize(
    "check",
    [
        "tun",
        "undone",
        "old_kernel",
        "mobility",
        "mistakes",
        "without_capability",
        "with_kernel",
        "command_line",
        "tun_down_and_up",
        "tun_deleted",
        "changes",
        "policy",
    ],
)
def test_in_a_namespace(check):
    result = subprocess.run(
        ["timeout", "-k", "1", "150", *NAMESPACE, sys.executable, str(CHECKS), check],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
