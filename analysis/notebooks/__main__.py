"""``python -m analysis.notebooks keep RESULTS [EXPERIMENT...]``: keep runs with the project, for the notebooks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis import origin
from analysis.errors import AnalysisError
from analysis.notebooks import names, present
from analysis.notebooks.tools.keep import keep


def main() -> int:
    """Keep the latest run of each experiment named, or of each that has a notebook and results; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m analysis.notebooks")
    keeping = parser.add_subparsers(required=True).add_parser("keep", help="replace the results kept with the project")
    keeping.add_argument("results", type=Path, help="a directory of runs, or one run's directory")
    keeping.add_argument("experiment", nargs="*", help="all with a notebook and results when left out")
    given = parser.parse_args()
    try:
        wanted = given.experiment or present(given.results)
    except AnalysisError as error:
        parser.exit(1, f"{error}\n")
    if not wanted:
        parser.exit(1, f"{given.results}: no results of an experiment with a notebook\n")
    failed = [name for name in wanted if not _kept(name, given.results)]
    if others := sorted(set(names()) - set(wanted)):
        print(f"as they were: {', '.join(others)}")
    return int(bool(failed))


def _kept(name: str, results: Path) -> bool:
    try:
        run = keep(name, results)
    except AnalysisError as error:
        print(error, file=sys.stderr)
        return False
    print(f"{name}: {run.path}, {origin.outcomes(run)}")
    return True


if __name__ == "__main__":
    sys.exit(main())
