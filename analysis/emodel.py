"""The quality of a call from its delays and losses: the E-model (ITU-T G.107), with its defaults but for those.

A voice frame that has not come when it is to be played is lost to the ear, even if a stream brings it later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

DEFAULT_R = 93.2
"""The rating of a call without any impairment of ours (G.107 section 7.7)."""
PLAYOUT_MS = 250.0
"""From when a frame was due at its sender to when it is played: what a patient receiver's buffer allows."""
CODEC_MS = 20.0
"""A frame is complete only when its last sample was spoken."""


class Codec(NamedTuple):
    """Equipment impairment and robustness against random loss (ITU-T G.113 appendix I)."""

    ie: float
    bpl: float


CODECS = {"g711": Codec(0, 25.1), "g729": Codec(11, 19.0)}
"""Those that G.113 has values for, with concealment of losses; others get no rating here."""


def rating(delay_ms: float, loss: float, codec: Codec) -> float:
    """Return R, 0 to 100, for a one-way mouth-to-ear delay and a share of lost frames."""
    talkers = 0.024 * delay_ms + (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    percent = 100 * loss
    equipment = codec.ie + (95 - codec.ie) * percent / (percent + codec.bpl)
    return max(0.0, min(100.0, DEFAULT_R - talkers - equipment))


def opinion(r: float) -> float:
    """Return the mean opinion score, 1 to 4.5, of a rating (G.107 annex B)."""
    return 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6 if r > 0 else 1.0


def score(delays_ms: Sequence[float] | pd.Series, codec: str, playout_ms: float = PLAYOUT_MS) -> float | None:
    """Return the score of frames with these delays, None for a codec without values or without frames."""
    if codec not in CODECS or not len(delays_ms):
        return None
    late = sum(delay > playout_ms for delay in delays_ms) / len(delays_ms)
    return opinion(rating(playout_ms + CODEC_MS, late, CODECS[codec]))
