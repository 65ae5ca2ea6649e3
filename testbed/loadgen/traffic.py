"""Models of what an application sends, frame by frame: a voice codec, a video, blocks as fast as they are taken.

A model is written ``NAME`` or ``NAME:key=value,key=value``: ``voice:codec=g729``, ``on-off:rate=5 Mbit/s,on=2 s``.
Everything random is drawn from the generator that :meth:`Model.frames` is handed: a seed gives the same traffic again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import repeat
from random import Random
from typing import Annotated, ClassVar, NamedTuple

from pydantic import AfterValidator, Field

from testbed.errors import LabError
from testbed.input.validation import Frozen, unknown, validate
from testbed.loadgen.content import CHUNK_BYTES
from testbed.units import RateBps, SizeBytes, TimeNs

_SECOND = 1_000_000_000
VOICE_INTERVAL_NS = 20_000_000
"""A voice frame carries 20 ms of speech."""

CODECS = {
    "g711": 160,  # 64 kbit/s, ITU-T G.711
    "g722": 160,  # 64 kbit/s wideband, ITU-T G.722
    "g729": 20,  # 8 kbit/s, ITU-T G.729
    "amr-wb": 33,  # 12.65 kbit/s, 3GPP TS 26.171: 253 bits a frame and its octet of header
    "silk": 50,  # 20 kbit/s, as Skype used for wideband speech
    "opus": 60,  # 24 kbit/s, RFC 6716's wideband operating point
}
"""Payload of a voice frame in bytes, by codec."""


def _known_codec(name: str) -> str:
    if name not in CODECS:
        raise ValueError(unknown("codec", name, CODECS))
    return name


def _one_chunk(size_bytes: int) -> int:
    if size_bytes > CHUNK_BYTES:
        raise ValueError(f"must not exceed {CHUNK_BYTES} B")
    return size_bytes


FrameBytes = Annotated[SizeBytes, AfterValidator(_one_chunk)]
Codec = Annotated[str, AfterValidator(_known_codec)]


class Frame(NamedTuple):
    """What is sent ``gap_ns`` after the frame before it."""

    gap_ns: int
    size_bytes: int


class Model(Frozen):
    """How an application sends. ``paced``: frames are due at their time, not as soon as the stack takes them."""

    paced: ClassVar[bool] = True

    @abstractmethod
    def frames(self, random: Random) -> Iterator[Frame]:
        """Return the frames, without end."""


class Voice(Model):
    """A call: one frame every 20 ms."""

    codec: Codec = "g711"

    def frames(self, random: Random) -> Iterator[Frame]:
        """Return equal frames at equal distances."""
        return repeat(Frame(VOICE_INTERVAL_NS, CODECS[self.codec]))


class Video(Model):
    """Groups of pictures: one large frame, then small ones that vary by a quarter; ``rate`` is their mean."""

    rate_bps: RateBps = Field(default=1_000_000, alias="rate")
    frames_per_s: int = Field(default=25, gt=0, le=240, alias="fps")
    group: int = Field(default=12, gt=0)
    key_frame_ratio: float = Field(default=5.0, ge=1, alias="ratio")

    def frames(self, random: Random) -> Iterator[Frame]:
        """Return the pictures of one group after the other."""
        per_group = self.rate_bps / 8 * self.group / self.frames_per_s
        small = per_group / (self.key_frame_ratio + self.group - 1)
        gap_ns = _SECOND // self.frames_per_s
        while True:
            for picture in range(self.group):
                mean = small * (1 if picture else self.key_frame_ratio)
                yield Frame(gap_ns, min(CHUNK_BYTES, max(1, round(mean * random.uniform(0.75, 1.25)))))


class Constant(Model):
    """Equal frames at a constant bit rate."""

    rate_bps: RateBps = Field(default=1_000_000, alias="rate")
    frame_bytes: FrameBytes = Field(default=1000, alias="frame")

    def frames(self, random: Random) -> Iterator[Frame]:
        """Return equal frames at equal distances."""
        return repeat(Frame(self.frame_bytes * 8 * _SECOND // self.rate_bps, self.frame_bytes))


class Blocks(Model):
    """Blocks as fast as the stack takes them, each stamped when it is handed over (NSDI'12, application latency)."""

    paced: ClassVar[bool] = False
    size_bytes: FrameBytes = Field(default=8192, alias="size")

    def frames(self, random: Random) -> Iterator[Frame]:
        """Return equal blocks without gaps."""
        return repeat(Frame(0, self.size_bytes))


class OnOff(Model):
    """Cross traffic: a constant rate for a while, then nothing for a while, both exponentially distributed."""

    rate_bps: RateBps = Field(default=10_000_000, alias="rate")
    on_ns: TimeNs = Field(default=_SECOND, alias="on")
    off_ns: TimeNs = Field(default=_SECOND, alias="off")
    frame_bytes: FrameBytes = Field(default=10_000, alias="frame")

    def frames(self, random: Random) -> Iterator[Frame]:
        """Return the frames of one period after the other."""
        gap_ns = self.frame_bytes * 8 * _SECOND // self.rate_bps
        silence_ns = 0
        while True:
            for _ in range(max(1, round(_exponential_ns(random, self.on_ns) / gap_ns))):
                yield Frame(gap_ns + silence_ns, self.frame_bytes)
                silence_ns = 0
            silence_ns = _exponential_ns(random, self.off_ns)


MODELS: dict[str, type[Model]] = {
    "voice": Voice,
    "video": Video,
    "constant": Constant,
    "blocks": Blocks,
    "on-off": OnOff,
}


def parse_model(text: str) -> Model:
    """Read ``NAME:key=value,...``; raises :class:`LabError` with the allowed names and values."""
    name, _, settings = text.partition(":")
    if name not in MODELS:
        raise LabError(unknown("traffic model", name, MODELS))
    values = {}
    for setting in filter(None, settings.split(",")):
        key, equals, value = setting.partition("=")
        if not equals:
            raise LabError(f"traffic model {text}: {setting} must be key=value")
        values[key.strip()] = value.strip()
    return validate(MODELS[name], values, f"traffic model {name}")


def _exponential_ns(random: Random, mean_ns: int) -> int:
    return round(random.expovariate(1 / mean_ns)) if mean_ns else 0
