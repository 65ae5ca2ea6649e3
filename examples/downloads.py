"""How long a download takes, by its size: a whole experiment of one's own, in one file that may be anywhere.

    ./lab plan ./examples/downloads.py
    sudo ./lab run ./examples/downloads.py --set sizes_kb=50
    ./lab figures ./examples/downloads.py
    ./lab report ./examples/downloads.py

Copied to a folder of your own it is `~/mine/downloads.py`, and nothing else changes. `plan` prints points, parameters
and time, `run` a table with a row for each stack and size, and the name of a figure; results are in results/downloads/.
docs/experiments.md says what more an experiment can have.
"""

from typing import ClassVar

from pydantic import Field

from testbed.experiment import Experiment, Parameters, Point, PositiveInts
from testbed.stacks.measure import BulkLoad, bulk


class Settings(Parameters):
    """What `--set` sets, beside what every experiment has."""

    sizes_kb: PositiveInts = Field(default=(100, 1000), description="sizes of the download, in kB")


class Downloads(Experiment[Settings]):
    """One download a point, over WiFi and 3G."""

    name, title, topology = "downloads", "Time of a download", "wifi-3g"
    stacks = ("kernel-tcp", "python-mptcp")
    shows = ("elapsed_s",)
    scales: ClassVar = {"quick": Settings(repetitions=3)}

    def points(self, stacks):
        numbers = range(1, self.parameters.repetitions + 1)
        return [Point(s, n, {"size_kb": size}) for s in stacks for size in self.parameters.sizes_kb for n in numbers]

    def run_point(self, bench, point):
        return bench.measure(bulk, BulkLoad("download", limit_bytes=1000 * point.factors["size_kb"]))
