"""Short system commands (ip, tc, nft, ethtool ...), whose failure is one clear line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from testbed.errors import LabError

Result = subprocess.CompletedProcess[str]


def run(argv: Sequence[str], *, check: bool = True, timeout: float = 30.0, input: str = "") -> Result:
    """Run a command in this process's own namespaces to its end, with its output as text.

    LabError when the program is missing, takes longer than `timeout` seconds or, with `check`, fails.
    """
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(list(argv), stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: this program is missing (./lab installs what the lab needs)") from None
    return finish(process, argv, where="", check=check, timeout=timeout, input=input)


def finish(
    process: subprocess.Popen[str], argv: Sequence[str], *, where: str, check: bool, timeout: float, input: str
) -> Result:
    """Feed a started command and wait for its end; LabError that begins with `where`, as for `run`."""
    what = f"{where}{' '.join(argv)}"
    try:
        out, err = process.communicate(input, timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise LabError(f"{what}: did not end within {timeout:g} s", 1) from None
    if check and process.returncode != 0:
        lines = (err.strip() or out.strip() or f"exit code {process.returncode}").splitlines()
        raise LabError(f"{what}: {'; '.join(line.strip() for line in lines[:3])}", 1)
    return subprocess.CompletedProcess(list(argv), process.returncode, out, err)
