"""Runs tests of one suite over one face, in this process and its private namespace: started by `tests.foreign`.

    python -m tests.foreign.inside FACE RECORD_FILE FOLDER PYTEST_ARGUMENT...

The file gets a line of JSON for each test that begins and each result. Those of which it has one already are left out:
so a process that a test has ended, or that hung, is followed by another one.
"""

import json
import os
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import test

from .faces import install

ALL_RUN = 99
"""The exit code when no test has ended the process."""


class Record:
    """A plug-in of pytest."""

    def __init__(self, file: Path) -> None:
        known = [json.loads(line)["test"] for line in file.read_text().splitlines()] if file.exists() else []
        self._known = set(known)
        self._lines = file.open("a")

    def _write(self, test: str, result: str, why: str = "") -> None:
        print(json.dumps({"test": test, "result": result, "why": why}), file=self._lines, flush=True)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self._known]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(nodeid, "began")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped or report.when == "call":
            self._write(report.nodeid, report.outcome, "" if report.passed else _why(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(report.nodeid, "failed", _why(report))


def _why(report: Any) -> str:
    """The last line of what went wrong."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return text.strip()[:300]


def main() -> None:
    """See the module."""
    face, record, folder, *arguments = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us may ignore it
    # Some of what tests are made of is in the packages.
    site = Path(sysconfig.get_paths()["purelib"])
    install(face, (folder, str(site / "uvloop"), str(site / "anyio")))
    if Path(folder).name == "test":
        test.__path__.append(folder)  # Debian's package of it holds the rest of the library's
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # other projects' tests have that name, too
    pytest.main(arguments, plugins=[Record(Path(record))])


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(ALL_RUN)  # threads that hang are no reason to wait
