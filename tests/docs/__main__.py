"""`python -m tests.docs [--long] [TEXT ...]`: type every command of the documents (that has TEXT in it), as it stands.

Needs root, and some minutes. The commands of fenced blocks are run in order in a fresh copy of the checkout, with
results of its own. Left out is what `exceptions.toml` names; with `--long` only
those of them that cannot be run as they stand. Exit code 1 when one fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.docs.checking import KEPT
from tests.docs.commands import ROOT, Command, commands, documents

LIMIT_S = 7200.0
"""Of one command, also of a long one."""
_SUDO = '#!/bin/sh\n[ "$1" != -E ] || shift\nexec "$@"\n'
"""Where root's machine has none."""


class Outcome(NamedTuple):
    """How a command ended: exit code (None: not within the limit), seconds, output."""

    code: int | None
    seconds: float
    output: str


def fresh_copy(place: Path) -> Path:
    """A clone of the checkout with what is not committed yet, the environment, and what the reader brings along."""
    copy = place / "checkout"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
    changed = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.run(changed, cwd=ROOT, capture_output=True, text=True).stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to((ROOT / ".venv").resolve())
    for name, source in KEPT["given"].items():
        shutil.copy2(copy / source, copy / name)
    return copy


def left_out(command: Command, long: bool) -> str | None:
    """Why a command is not run."""
    for one in KEPT["left_out"]:
        if command.text.startswith(one["command"]) and (one.get("never") or not long):
            return f"{one['reason']}; {one['seconds']} s"
    return None


def typed(command: Command, copy: Path, path: str) -> Outcome:
    """Type a command in the copy, as root."""
    text, keys = command.text, ""
    if command.prompt is not None:
        text, keys = f"sudo ./lab shell {command.prompt}", command.text
    began = time.monotonic()
    try:
        done = subprocess.run(
            ["bash", "-c", text], cwd=copy, input=keys, env=os.environ | {"PATH": path}, timeout=LIMIT_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, output = None, (error.output or b"").decode()
    return Outcome(code, time.monotonic() - began, output)


def is_good(command: Command, outcome: Outcome) -> bool:
    """Whether a command ended as it may; at the prompt no host's program may be missing or fail in Python."""
    codes = next((one["codes"] for one in KEPT["codes"] if command.text.startswith(one["command"])), [0])
    told = command.prompt is not None and any(word in outcome.output for word in ("not found", "Traceback"))
    return outcome.code in codes and not told


def main(wanted: list[str]) -> int:
    """Type them all; print a line for each."""
    long = "--long" in wanted
    wanted = [word for word in wanted if word != "--long"]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        copy, path = fresh_copy(place), os.environ["PATH"]
        if shutil.which("sudo") is None:
            (place / "bin").mkdir()
            (place / "bin/sudo").write_text(_SUDO)
            (place / "bin/sudo").chmod(0o755)
            path = f"{place}/bin:{path}"
        os.environ.pop("PYTHONPATH", None)
        os.environ["HOME"] = str(place)
        for document in documents():
            for command in commands(document):
                what = f"{command.document}:{command.line} {' / '.join(command.text.split(chr(10))).strip(' /')}"
                if not command.fenced or (wanted and not any(word in what for word in wanted)):
                    continue
                if reason := left_out(command, long):
                    print(f"left out ({reason}): {what}", flush=True)
                    continue
                outcome = typed(command, copy, path)
                good = is_good(command, outcome)
                failed += not good
                print(f"{'ok' if good else 'FAILED'} {outcome.code} {outcome.seconds:.1f} s: {what}", flush=True)
                if not good:
                    print("    " + "\n    ".join(outcome.output.splitlines()[-8:]), flush=True)
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
