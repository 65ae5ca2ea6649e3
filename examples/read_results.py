"""Results in pandas: a run is a frame with a row for each point, and columns with their units in their names.

    .venv/bin/python -m examples.read_results

reads the run of `quickstart` that comes with the project, without root, and prints requests per second:

    size_bytes    1000    30000   300000
    stack
    kernel-tcp      4148     196      20
    kernel-bond     4490     388      40
    kernel-mptcp    2759     196      37
    python-tcp      2083     161      20
    python-mptcp     859     237      38
"""

from pathlib import Path

from analysis.load import load_run

run = load_run(Path("analysis/notebooks/results/quickstart"))  # your own: find_runs(Path("results"), "quickstart")[-1]
passed = run.passed  # the points whose bytes, links and protocol were as they must be
loads = passed[passed["generator"] == "loadgen"]
table = loads.pivot_table(values="requests_per_s", index="stack", columns="size_bytes")
print(table.loc[run.stacks].round().astype(int))
