"""The first experiment to run: micro-flows of three sizes over every stack, in a few minutes.

It is `ab-microflows` in short, with links of 50 Mbit/s, all alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from experiments.ab_microflows import AbMicroflows, MicroflowParameters


class Quickstart(AbMicroflows):
    """Micro-flows with few sizes and requests."""

    name = "quickstart"
    title = "Quickstart: requests per second by response size"
    short_of = AbMicroflows.name
    scales: ClassVar[Mapping[str, MicroflowParameters]] = {
        "quick": MicroflowParameters(
            repetitions=3,
            sizes_bytes=(1_000, 30_000, 300_000),
            ab_sizes_bytes=(1_000, 30_000),
            requests=2_000,
            seconds=3,
            concurrency=100,
            rate=50_000_000,
            queue=500_000,
        )
    }
