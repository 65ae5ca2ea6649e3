"""Programs on two hosts: those of docs/api.md print what is written there, HTTP of PyPI runs unchanged."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import write_certificate
from .test_host import NAMESPACE

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"
PROGRAMS = Path(__file__).with_name("http_programs")
HOSTS = Path(__file__).with_name("two_hosts.py")
PROGRAM = re.compile(r"```python\n(?P<code># (?P<name>\w+\.py)\n.*?)```(?:\s+```text\n(?P<output>.*?)```)?", re.DOTALL)


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
def test_programs_of_the_document(tmp_path):
    expected = []
    for program in sorted(PROGRAM.finditer(DOCUMENT.read_text()), key=lambda found: found["name"]):
        (tmp_path / program["name"]).write_text(program["code"])
        if program["output"] is not None:
            expected.append(f"# {program['name']}\n{program['output']}")
    assert run_on_two_hosts(tmp_path) == "".join(expected)
    assert len(expected) >= 3


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
