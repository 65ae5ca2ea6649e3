"""What a shell completes: names, found without importing what has them, as a user waits for each."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_TEMPLATE = ".yaml.j2"


def experiments(incomplete: str) -> list[str]:
    """Names of experiments."""
    modules = (module.name for module in pkgutil.iter_modules([str(_PROJECT / "experiments")]))
    return _beginning(incomplete, (name.replace("_", "-") for name in modules if not name.startswith("_")))


def topologies(incomplete: str) -> list[str]:
    """Names of topologies; the shell adds files where none fits."""
    files = (_PROJECT / "topologies").glob(f"*{_TEMPLATE}")
    return _beginning(incomplete, (path.name.removesuffix(_TEMPLATE) for path in files))


def stacks(incomplete: str) -> list[str]:
    """Names of stacks, the last of those joined by commas."""
    from testbed.stacks import names

    return _last(incomplete, names)


def collectors(incomplete: str) -> list[str]:
    """Names of collectors, the last of those joined by commas."""
    from testbed.collectors import ALL, COLLECTORS

    return _last(incomplete, lambda: [*COLLECTORS, ALL])


def scales(incomplete: str) -> list[str]:
    """Scales that experiments have."""
    return _beginning(incomplete, ("quick", "paper"))


def _last(incomplete: str, known: Callable[[], Iterable[str]]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _beginning(last, known())]


def _beginning(text: str, known: Iterable[str]) -> list[str]:
    return sorted(name for name in known if name.startswith(text))
