"""The programs of docs/api.md print what is written there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .test_host import NAMESPACE

DOCUMENT = Path(__file__).parents[3] / "docs" / "api.md"
HOSTS = Path(__file__).with_name("two_hosts.py")
PROGRAM = re.compile(r"```python\n(?P<code># (?P<name>\w+\.py)\n.*?)```(?:\s+```text\n(?P<output>.*?)```)?", re.DOTALL)


@pytest.mark.root
def test_programs_of_the_document(tmp_path):
    expected = []
    for program in sorted(PROGRAM.finditer(DOCUMENT.read_text()), key=lambda found: found["name"]):
        (tmp_path / program["name"]).write_text(program["code"])
        if program["output"] is not None:
            expected.append(f"# {program['name']}\n{program['output']}")
    result = subprocess.run(
        ["timeout", "-k", "1", "100", *NAMESPACE, sys.executable, str(HOSTS), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "".join(expected)
    assert len(expected) >= 3
