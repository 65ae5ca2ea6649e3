"""What every test shares: what it may run on, and reproducible property tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The default run is reproducible; `--hypothesis-profile=explore` looks for new examples.
# No deadline: a busy machine is not a bug.
settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("reproducible")

LACKING = {
    "root": None if os.geteuid() == 0 else "needs root: run with sudo",
    "kernel": None if Path("/proc/sys/net/mptcp").is_dir() else "needs a kernel with MPTCP",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, reason in LACKING.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
