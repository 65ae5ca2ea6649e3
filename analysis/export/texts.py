"""The texts of a data set: for who reads it, cites it, and wants to know what may be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from analysis import origin
from analysis.export.tables import POINTS
from analysis.load import Run

LICENCES: Final = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
    "MIT": "https://opensource.org/license/mit",
}
"""Those of data sets by SPDX identifier, and where their text is."""


def write(runs: Sequence[Run], folder: Path, title: str, authors: Sequence[str], licence: str) -> dict[str, str]:
    """Write README.md, CITATION.cff and LICENSE; return what each is."""
    (folder / "README.md").write_text(_readme(runs, title, licence))
    (folder / "CITATION.cff").write_text(_citation(runs, title, authors, licence))
    (folder / "LICENSE").write_text(f"{title}\nLicence: {licence}\n{LICENCES[licence]}\n")
    return {"README.md": "what is in it", "CITATION.cff": "how to cite it", "LICENSE": "what may be done with it"}


def day(runs: Sequence[Run]) -> str:
    """Return the last day on which something of `runs` was measured: YYYY-MM-DD."""
    return max(str(one.get("began", ""))[:10] for run in runs for one in origin.sessions(run.manifest))


def _readme(runs: Sequence[Run], title: str, licence: str) -> str:
    first = str(runs[0].manifest["experiment"])
    return "\n".join(
        [
            f"# {title}",
            "",
            "Measured with mptcp-lab, a laboratory for Multipath TCP. Each experiment has a folder in `data/`, where",
            f"`{POINTS}` is a table with a row a point, and other tables have what each point recorded;",
            "`*.schema.json` names their columns, types and units. Parquet and CSV hold the same. `runs/` has the",
            "manifest of each run.",
            "",
            "```python",
            "import pandas as pd",
            f'points = pd.read_parquet("data/{first}/{POINTS}.parquet")',
            'passed = points[points["outcome"] == "passed"]',
            "```",
            "",
            *(_of_run(run) for run in runs),
            "",
            f"Licence: [{licence}]({LICENCES[licence]}). `sha256sum -c SHA256SUMS` says whether it is whole.",
            "",
        ]
    )


def _of_run(run: Run) -> str:
    facts = origin.environment(run)
    stale = f"; {run.stale}" if run.stale else ""
    return (
        f"- `{run.name}`: {run.manifest['title']}; {origin.outcomes(run)}; measured {facts['measured']} "
        f"on {origin.machine(run)}, at {facts['commit']}{stale}: `{origin.command(run)}`"
    )


def _citation(runs: Sequence[Run], title: str, authors: Sequence[str], licence: str) -> str:
    document = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": title,
        "authors": [{"name": name} for name in authors],
        "date-released": day(runs),
        "license": licence,
    }
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
