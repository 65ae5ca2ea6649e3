"""Foreign test suites over the application faces: `sudo .venv/bin/python -m tests.foreign [SUITE ...]`.

Fetches what it needs (see `fetch`), runs each suite in a namespace of its own and compares what fails with what is kept
in `kept_failures/SUITE.toml`, with reasons. Exit code 1: something fails for which no reason is kept.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from . import fetch
from .addresses import KERNELS, KERNELS_6, OURS, OURS_6
from .faces import FACES
from .inside import ALL_RUN
from .kept import Kept
from .suites import SUITES, Suite

NAMESPACE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
MEMORY_BYTES = 6 << 30
_MOST_RESTARTS = 60
_SET_UP = f"""
ip link set lo up
ip addr add {KERNELS}/24 dev lo
ip addr add {KERNELS_6}/64 dev lo nodad
mount --bind hosts /etc/hosts
exec "$@"
"""


def in_namespace(command: list[str], folder: Path, localhost: list[str], limit_s: float) -> int:
    """Run a command in a private namespace where `localhost` is these addresses; its exit code, 124 after so long."""
    (folder / "hosts").write_text("".join(f"{address} localhost\n" for address in localhost))
    limited = ["timeout", "-k", "2", str(int(limit_s) + 1), *NAMESPACE, "sh", "-ec", _SET_UP, "sh"]
    limited += ["prlimit", f"--as={MEMORY_BYTES}", "--core=0", "--", *command]
    root = Path(__file__).parents[2]
    variables = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder)}
    with (folder / "output").open("ab") as output:
        return subprocess.run(
            limited, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        ).returncode


def run_file(suite: Suite, face: str, tests: Path, file: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Result and reason of each test of a file."""
    record = folder / "record"
    python = fetch.environment(fetch.cache())
    localhost = ["127.0.0.1"] if face == "kernel" else [OURS, OURS_6] if face == "both" else [OURS]
    arguments = [
        str(tests / file),
        f"--rootdir={tests}",
        "-q",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "--tb=short",
    ]
    arguments += ["-p", "no:threadexception", "-p", "no:unraisableexception"]
    arguments += [f"--timeout={suite.test_s}", "--timeout-method=thread", *suite.arguments]
    arguments += ["-k", suite.skip] if suite.skip else []
    command = [
        str(python),
        "-X",
        "faulthandler",
        "-m",
        "tests.foreign.inside",
        face,
        str(record),
        str(tests),
        *arguments,
    ]
    end = time.monotonic() + suite.limit_s
    results: dict[str, tuple[str, str]] = {}
    for _ in range(_MOST_RESTARTS):
        code = in_namespace(command, folder, localhost, max(end - time.monotonic(), 1))
        before, results = results, read(record)
        # Where a test has ended the process the others follow in a new one.
        if code == ALL_RUN or time.monotonic() >= end or results == before:
            break
    else:
        results[file] = ("failed", "too many processes ended")
    if code != ALL_RUN:
        results[file] = ("failed", f"ended with {code}: {last_line(folder / 'output')}")
    return results


def read(record: Path) -> dict[str, tuple[str, str]]:
    """Results by test; the worst of several. One that only began has ended its process."""
    order = ("passed", "skipped", "failed")
    found: dict[str, tuple[str, str]] = {}
    for line in record.read_text().splitlines() if record.exists() else ():
        entry = json.loads(line)
        known = found.get(entry["test"], ("began", "hangs, or ends its process"))
        if entry["result"] == "began":
            found.setdefault(entry["test"], known)
        elif known[0] == "began" or order.index(entry["result"]) > order.index(known[0]):
            found[entry["test"]] = (entry["result"], entry["why"])
    return {test: ("failed", why) if result == "began" else (result, why) for test, (result, why) in found.items()}


def last_line(output: Path) -> str:
    """What was said last."""
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing was said"


def run_suite(name: str, face: str | None, only: list[str], out: Path) -> dict[str, tuple[str, str]]:
    """Results of a suite, which are also written to `out`."""
    suite = SUITES[name]
    tests = suite.find(fetch.cache())
    results: dict[str, tuple[str, str]] = {}
    for file in [file for file in suite.files if not only or any(part in file for part in only)]:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mptcp-foreign-") as folder:
            found = run_file(suite, face or suite.face, tests, file, Path(folder))
            shutil.copy(Path(folder) / "output", out / f"{name}-{Path(file).stem}.txt")
        counts = Counter(result for result, _ in found.values())
        print(f"{name} {file}: {dict(counts)}, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        results |= found
    lines = [json.dumps({"test": test, "result": result, "why": why}) for test, (result, why) in results.items()]
    (out / f"{name}-{face or suite.face}.jsonl").write_text("\n".join(lines) + "\n")
    return results


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.foreign", description=__doc__)
    parser.add_argument("suite", nargs="*", metavar="SUITE", help=f"one of {', '.join(SUITES)} (default: all)")
    parser.add_argument("--face", choices=FACES, help="another one than the suite's; kernel: as it is without us")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="files with this in their names")
    parser.add_argument("--out", type=Path, default=Path("results/foreign"), help="a folder for what was said")
    given = parser.parse_args()
    unknown = [name for name in given.suite if name not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]}: there are {', '.join(SUITES)}")
    if os.geteuid() != 0:
        parser.error("needs root: run with sudo")
    given.out.mkdir(parents=True, exist_ok=True)
    unexplained = 0
    for name in given.suite or SUITES:
        results = run_suite(name, given.face, given.only, given.out)
        unexplained += Kept.of(name).report(name, results, whole=not given.only)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
