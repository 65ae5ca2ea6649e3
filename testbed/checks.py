"""The project's own checks, as `./lab test` runs them: lint, format, types, import contracts, tests.

The core is compiled first, where it can be: all tests run with it, and those of the stack once more as pure Python.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mptcp_stack.build import PURE

ROOT = Path(__file__).resolve().parent.parent

# Tests that need no root share out all cores. Of the labs (`root`) three at a time leave each other the time they need;
# those that measure rates and delays, or look at settings of the whole machine, run `alone`.
LABS = ("tests/examples", "tests/interop", "tests/launcher", "tests/testbed", "tests/unit/runtime")
"""Where tests with root are: the others need not be collected for them."""
ALL_CORES = ("--numprocesses", "auto", "--dist", "worksteal", "-m", "not root")
FUZZ = "tests/fuzz"
"""As pure Python alone: a fault of memory would hide where it came from."""
STACK = ("tests/unit", "tests/sim", "tests/scripts")
PURE_TESTS = "tests of the stack, pure Python"
TESTS = {
    "tests without labs": (*ALL_CORES, "--ignore", FUZZ),
    PURE_TESTS: (*ALL_CORES, FUZZ),
    "tests of labs": ("--numprocesses", "3", "--dist", "loadscope", "-m", "root and not alone", *LABS),
    "tests of labs, alone": ("-m", "alone", *LABS),
}
# Labs depend on time, on a machine that others may use too: what failed there is played once more alone, and again. All
# plays are shown, and a fault that is there each time fails them all.
ONCE_MORE = dict.fromkeys(
    ("tests of labs", "tests of labs, alone"),
    ("--last-failed", "--last-failed-no-failures=none", "--numprocesses", "0"),
)
MOST_PLAYS = 3
SOME_FAILED = 1

# Run as modules of this Python: the scripts in .venv/bin break when a checkout is moved.
CHECKS = {
    "lint": ("-m", "ruff", "check"),
    "format": ("-m", "ruff", "format", "--check"),
    "types": ("-m", "mypy", "--num-workers", "auto"),
    "contracts": ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
}

# Tests start hundreds of programs: what is compiled for one of them is kept for the others, whatever the user has set.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run_checks(arguments: Sequence[str] = ()) -> int:
    """Run every check, the tests last, and return 0 when all passed, else 1.

    A failed check shows its output and does not keep the others from running. `arguments` go to a single pytest in
    place of the whole suite. Pytest's closing line (count and time of the tests) ends the output of a run that passed.
    """
    failed = [name for name, command in CHECKS.items() if not _passes(name, command)]
    for name, selection in ({"tests": tuple(arguments)} if arguments else _tests()).items():
        print(name, flush=True)
        code = _pytest(selection, ENVIRONMENT | ({PURE: "1"} if name == PURE_TESTS else {}))
        for _ in range(MOST_PLAYS - 1):
            if code == SOME_FAILED and name in ONCE_MORE:
                print(f"{name} that failed, once more", flush=True)
                code = _pytest((*selection, *ONCE_MORE[name]), ENVIRONMENT)
        if code != 0:
            failed.append(name)
    if failed:
        print(f"lab test: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _tests() -> dict[str, tuple[str, ...]]:
    """What is to be run, with the core compiled before, or, where that cannot be, nothing twice."""
    command = [sys.executable, "-m", "testbed", "build"]
    compiled = ENVIRONMENT.get(PURE, "0") in ("", "0") and subprocess.run(command, cwd=ROOT).returncode == 0
    build = "compiled" if compiled else "pure"
    tests = {name: (*selection, "--build", build) for name, selection in TESTS.items()}
    tests[PURE_TESTS] = (*TESTS[PURE_TESTS], *(STACK if compiled else ()), "--build", "pure")
    return tests


def _pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment).returncode


def _passes(name: str, command: Sequence[str]) -> bool:
    """Run one check, print its line of the table and, when it failed, what it said."""
    start = time.monotonic()
    print(f"{name:<12}", end="", flush=True)
    result = subprocess.run(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    passed = result.returncode == 0
    print(f"{'passed' if passed else 'FAILED'} {time.monotonic() - start:6.1f} s", flush=True)
    if not passed:
        print(result.stdout, flush=True)
    return passed
