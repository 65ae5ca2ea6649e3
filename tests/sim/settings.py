"""Settings of a stack drawn at random: every switch there is, so that each is tried together with each other."""

from random import Random
from typing import Any

from mptcp_stack.congestion import ALGORITHMS
from mptcp_stack.mptcp.scheduler import SCHEDULERS

CHOICES: dict[str, list[Any]] = {
    "mptcp": [True, True, True, True, False],
    "congestion": list(ALGORITHMS),
    "scheduler": list(SCHEDULERS),
    "gso_max_bytes": [1, 5000, 65_435],
    "sack": [True, True, True, False],
    "timestamps": [True, True, True, False],
    "pacing": [True, True, False],
    "passive_close": [True, False],
    "nodelay": [True, False],
    "mptcp_version": [1, 1, 1, 0],
    "mptcp_minimum_version": [0],
    "dss_checksum": [False, False, True],
    "fastclose": ["rst", "ack"],
    "syn_cookies": ["off", "overflow", "always"],
    "send_buffer_bytes": [3000, 20_000, 4 << 20],
    "receive_buffer_bytes": [3000, 20_000, 200_000, 6 << 20],
    "send_buffer_autotuning": [True, False],
    "receive_buffer_autotuning": [True, False],
}
"""Field of ``StackConfig``: its values, as often as they shall be drawn."""


def random_settings(random: Random) -> dict[str, Any]:
    """A value for each field."""
    return {name: random.choice(values) for name, values in CHOICES.items()}
