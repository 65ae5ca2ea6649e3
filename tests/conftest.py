"""What every test shares: what it may run on, and reproducible property tests."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from mptcp_stack import stack
from mptcp_stack.build import PURE, notice, running
from testbed.checks import LABS

# The default run is reproducible; `--hypothesis-profile=explore` looks for new examples.
# No deadline: a busy machine is not a bug.
settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("reproducible")

if notice():
    os.environ[PURE] = "1"  # after an edit pure Python is what is meant: programs that tests start need not say so

LACKING = {
    "pure": "with the compiled core: {}" if running() == "compiled" else None,
    "root": None if os.geteuid() == 0 else "needs root: run with sudo",
    "kernel": None if Path("/proc/sys/net/mptcp").is_dir() else "needs a kernel with MPTCP",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--build", choices=["compiled", "pure"], help="fail unless the stack that is tested is this one")


def pytest_configure(config: pytest.Config) -> None:
    there = "compiled" if hasattr(stack.__loader__, "library") else "pure"
    if config.getoption("build") not in (None, there) or there != running():
        raise pytest.UsageError(f"--build: the stack is {there}, by {stack.__loader__}. {notice()}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, reason in LACKING.items():
            if reason and (mark := item.get_closest_marker(marker)):
                item.add_marker(pytest.mark.skip(reason=reason.format(*mark.args)))
        if item.get_closest_marker("alone") and not item.get_closest_marker("root"):
            raise pytest.UsageError(f"{item.nodeid}: `alone` is for tests with root: mark it `root`, too")
        if item.get_closest_marker("root") and not item.nodeid.startswith(LABS):
            raise pytest.UsageError(f"{item.nodeid}: tests with root are in {', '.join(LABS)}, or are not run")


def pytest_collection_finish() -> None:
    """Thousands of tests and all that they import stay to the end: no collection of garbage need look at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def beyond_select() -> Iterator[None]:
    """Descriptors up to the largest that `select` knows are taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("this process may not have so many descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    with ExitStack() as files:
        while (taken := os.open(os.devnull, os.O_RDONLY)) < 1024:
            files.callback(os.close, taken)
        files.callback(os.close, taken)
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
