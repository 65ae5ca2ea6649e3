"""What an experiment is, and how one is found: what a user's experiment imports.

- `experiments/my_idea.py` is the experiment `my-idea`; dropping the file there is all the registration there is. A
  package `experiments/my_idea/` is one, too: its `__init__.py` in place of the file, and what it needs beside it. A
  user's own is in a file anywhere.
- An experiment states its parameters and their values at each scale, lists its points, and measures one point when it
  is asked to. Labs, stacks, files, resuming and checking are the work of `testbed.runs`.
"""

from testbed.experiment.base import (
    MOST_POINTS,
    MOST_VALUES,
    Bench,
    Experiment,
    Parameters,
    Point,
    PositiveInts,
    Repetition,
    Scalar,
    names_of,
)
from testbed.experiment.finding import experiment_class, experiment_names, parse_settings, resolve

__all__ = [
    "MOST_POINTS",
    "MOST_VALUES",
    "Bench",
    "Experiment",
    "Parameters",
    "Point",
    "PositiveInts",
    "Repetition",
    "Scalar",
    "experiment_class",
    "experiment_names",
    "names_of",
    "parse_settings",
    "resolve",
]
