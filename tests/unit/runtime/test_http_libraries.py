"""Libraries of PyPI for HTTP run unchanged, on two hosts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import write_certificate
from .test_host import NAMESPACE

PROGRAMS = Path(__file__).with_name("http_programs")
HOSTS = Path(__file__).with_name("two_hosts.py")


def run_on_two_hosts(folder):
    """What the programs of a folder print (see two_hosts.py)."""
    result = subprocess.run(
        ["timeout", "-k", "1", "100", *NAMESPACE, sys.executable, str(HOSTS), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.root
@pytest.mark.parametrize("tls", [False, True])
def test_http_libraries_run_unchanged(tmp_path, tls):
    """A file of 6 MB to uvicorn and back to httpx, over both paths."""
    shutil.copytree(PROGRAMS, tmp_path, dirs_exist_ok=True)
    if tls:
        write_certificate(tmp_path / "server.pem", "10.0.1.102")
    assert run_on_two_hosts(tmp_path).splitlines() == [
        "# transfer.py",
        "200 10.0.1.101",
        "200 True",
        "10.0.1.101 both ways",
        "10.0.2.101 both ways",
    ]
