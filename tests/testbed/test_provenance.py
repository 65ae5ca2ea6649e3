"""What a result says about the code it is of."""

import subprocess
from pathlib import Path

import pytest

from testbed.runs import provenance


def in_checkout(root: Path, *command: str) -> None:
    identity = ("-c", "user.name=n", "-c", "user.email=e")
    subprocess.run(["git", "-C", root, *identity, *command], check=True, capture_output=True)


def test_what_does_not_measure_changes_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`keep all` writes documents between two experiments: the second was of a commit "with changes" once."""
    in_checkout(tmp_path, "init")
    for name in ("testbed/lab.py", "docs/measured.md", "requirements.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    in_checkout(tmp_path, "add", ".")
    in_checkout(tmp_path, "commit", "-m", "first")
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    (tmp_path / "docs/measured.md").write_text("after")
    assert provenance.git()["dirty"] is False
    (tmp_path / "testbed/lab.py").write_text("after")
    assert provenance.git()["dirty"] is True
