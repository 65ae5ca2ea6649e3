"""Settings of the stacks of a world, drawn at random."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from mptcp_stack.mptcp.keys import KEY_BYTES, Key
from mptcp_stack.sim import MILLISECOND, SECOND
from mptcp_stack.stack import Stack
from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp import Context
from tests.fuzz.worlds.actor import HABITS
from tests.sim.settings import CHOICES

NORMAL: dict[str, list[Any]] = CHOICES | {
    "gso_max_bytes": [1, 3000, 20_000, 65_435, 65_435],
    "send_buffer_bytes": [1, 500, 3000, 50_000, 4 << 20],
    "receive_buffer_bytes": [1, 300, 2000, 20_000, 65_535, 65_536, 200_000, 6 << 20, 1 << 30],
    "dsn_bits": [32, 64, 64],
    "ecn": ["off", "accept", "on"],
    "opportunistic_retransmission": [True, True, False],
    "penalisation": [True, True, False],
    "cwnd_capping": [False, False, True],
    "max_subflows": [1, 2, 8, 8, 20],
    "allow_join_initial_address": [True, True, True, True, False],
    "path_manager": ["fullmesh"] * 2 + ["ndiffports:4", "ndiffports:20", "handover", "default"] + ["userspace"] * 2,
    "keep_alive": [False, False, True],
    "keep_alive_idle_ns": [1 * SECOND, 10 * SECOND, 60 * SECOND, 7200 * SECOND],
    "keep_alive_interval_ns": [1 * SECOND, 10 * SECOND],
    "close_timeout_ns": [0, 5 * SECOND, 60 * SECOND],
    "join_retries": [0, 5],
    "delayed_ack_ns": [0, 1 * MILLISECOND, 40 * MILLISECOND, 200 * MILLISECOND],
    "max_addresses_accepted": [0, 2, 8],
    "time_wait_ns": [1 * SECOND, 60 * SECOND],
}
"""Field of ``StackConfig``: its values, as often as they shall be drawn."""

HEAVY: dict[str, list[Any]] = NORMAL | {
    "mptcp": [True],
    "send_buffer_bytes": [3000, 20_000, 50_000, 300_000, 300_000, 4 << 20, 4 << 20],
    "receive_buffer_bytes": [3000, 20_000, 20_000, 65_535, 65_536, 200_000, 300_000, 300_000, 6 << 20, 6 << 20],
    "path_manager": ["fullmesh"] * 3 + ["ndiffports:4", "ndiffports:20", "handover", "default"] + ["userspace"] * 4,
    "max_subflows": [1, 2, 8, 8, 8, 20],
    "max_addresses_accepted": [0, 2, 8, 8, 8],
}
"""MPTCP alone, with more data and more orders for its paths."""


@dataclass(frozen=True)
class Theme:
    """What the worlds of a kind have in common.

    ``settings`` go before those of ``NORMAL`` or ``HEAVY``; ``budgets`` are bytes that an application writes in all
    (none: those of ``BUDGETS``), ``habits`` how it reads, ``orders`` how many its path manager gets at birth (none: nor
    any later).
    """

    settings: dict[str, list[Any]] = field(default_factory=dict)
    budgets: tuple[int, ...] = ()
    habits: tuple[str, ...] = ("eager", *HABITS)
    orders: tuple[int, ...] = ()


THEMES = {
    "anything": Theme(orders=(0, 2, 6)),
    "unordered": Theme(),
    "hoarders": Theme(  # several subflows fill a buffer that nobody empties
        {
            "receive_buffer_bytes": [20_000, 65_535, 65_536, 100_000, 300_000],
            "send_buffer_bytes": [300_000, 4 << 20],
            "path_manager": ["fullmesh", "ndiffports:4", "ndiffports:20"],
            "max_subflows": [8, 20],
            "max_addresses_accepted": [8],
            "allow_join_initial_address": [True],
        },
        budgets=(0, 500_000, 1_000_000),
        habits=("idle",),
    ),
    "silence": Theme({"path_manager": ["userspace", "default"]}, budgets=(0, 0, 1, 1000), orders=(2, 6)),
}

BUDGETS = {False: (0, 1, 1000, 50_000, 400_000), True: (0, 1000, 500_000, 1_000_000, 4_000_000)}
WRITES = {False: (1, 1, 7, 100, 1400, 1500, 5000, 65_536, 300_000), True: (1, 100, 5000, 65_536, 300_000, 1_000_000)}
"""Bytes that an application writes in all, and at once; by whether the world is heavy."""

MTUS = {4: (1500, 1500, 1500, 9000, 65_535, 576, 168, 128), 6: (1500, 1500, 1500, 9000, 1280)}

_WRAP_BYTES = 200_000
"""So far before the wrap numbers begin that ask for it."""


def settings_of_both(random: Random, heavy: bool, theme: Theme) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of client and server, which are the same as often as not, but for their buffers."""
    choices = (HEAVY if heavy else NORMAL) | theme.settings
    client, server = ({name: random.choice(values) for name, values in choices.items()} for _ in range(2))
    if random.random() < 0.5:
        server = client | {name: server[name] for name in ("send_buffer_bytes", "receive_buffer_bytes")}
    return client, server


class _LateNumbers(Context):
    """Initial sequence numbers so near the wrap that connections see it."""

    def initial_sequence(self, flow: bytes, now: int) -> int:
        return MASK_32 - super().initial_sequence(flow, now) % _WRAP_BYTES


class _LateKeys(Random):
    """Keys whose initial data sequence number is near the wrap of its lower half."""

    def randbytes(self, n: int) -> bytes:
        drawn = super().randbytes(n)
        while n == KEY_BYTES and Key(drawn).idsn & MASK_32 < MASK_32 - 5 * _WRAP_BYTES:
            drawn = super().randbytes(n)
        return drawn


def number_late(stack: Stack, random: Random) -> None:
    """Have a new stack begin its numbers near their wraps, one or both or neither."""
    if random.random() < 0.5:
        stack.context = _LateNumbers(**vars(stack.context))
    if random.random() < 0.3:
        stack.random = _LateKeys(random.random())
