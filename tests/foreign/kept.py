"""What fails in a foreign suite for a reason: `kept_failures/SUITE.toml`.

Each entry has a kind, the reason in a sentence, and the tests, by names in which `*` stands for anything.
"""

import tomllib
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

FOLDER = Path(__file__).with_name("kept_failures")
KINDS = {
    "limit": "a documented limit of ours",
    "detail": "a detail of the kernel's sockets",
    "kernel too": "fails over the kernel here, too",
    "place": "of the place that the suite runs in",
}


@dataclass(frozen=True)
class Kept:
    """Patterns of tests, each with its kind and reason."""

    reasons: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, suite: str) -> "Kept":
        """Those of a suite. Raises ValueError."""
        file = FOLDER / f"{suite}.toml"
        reasons: dict[str, tuple[str, str]] = {}
        for entry in tomllib.loads(file.read_text())["kept"] if file.exists() else ():
            if entry["kind"] not in KINDS:
                raise ValueError(f"{file}: kind {entry['kind']!r} is none of {', '.join(KINDS)}")
            reasons |= dict.fromkeys(entry["tests"], (entry["kind"], entry["reason"]))
        return cls(reasons)

    def report(self, suite: str, results: dict[str, tuple[str, str]], whole: bool) -> int:
        """Print the counts of a suite and what has no reason; how many those are. `whole`: all of it was run."""
        counts = Counter(result for result, _ in results.values())
        failed = {test: why for test, (result, why) in results.items() if result == "failed"}
        kinds: Counter[str] = Counter()
        used = set()
        unexplained = 0
        for test, why in failed.items():
            pattern = next((pattern for pattern in self.reasons if fnmatchcase(test, pattern)), None)
            if pattern is None:
                unexplained += 1
                print(f"  {test}: {why.splitlines()[0] if why else why}")
                continue
            used.add(pattern)
            kinds[self.reasons[pattern][0]] += 1
        explained = ", ".join(f"{count} {KINDS[kind]}" for kind, count in kinds.items())
        print(
            f"{suite}: {counts['passed']} passed, {counts['skipped']} skipped, {len(failed)} failed: "
            f"{unexplained} without a reason{'; ' if explained else ''}{explained}",
            flush=True,
        )
        for pattern in self.reasons.keys() - used if whole else ():
            print(f"  kept, and did not fail: {pattern}")
        return unexplained
