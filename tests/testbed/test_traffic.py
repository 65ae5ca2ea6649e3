"""What applications send, frame by frame, and the generator that sends it over loopback."""

import asyncio
import csv
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import islice
from random import Random
from statistics import fmean

import pytest

from testbed.errors import LabError
from testbed.loadgen import client, frames, framing, server
from testbed.loadgen.arrivals import PROCESSES, Arrivals
from testbed.loadgen.options import Endpoint
from testbed.loadgen.traffic import parse_model

HOST = "127.0.0.1"
SECOND = 1_000_000_000


def sent(model, seconds=60, seed=1):
    """The frames of so many seconds, as (due, size)."""
    due, result = 0, []
    for gap_ns, size_bytes in parse_model(model).frames(Random(seed)):
        due += gap_ns
        if due > seconds * SECOND:
            return result
        result.append((due, size_bytes))


# --- models --------------------------------------------------------------------------------------------------


def test_a_voice_frame_is_due_every_20_ms():
    assert sent("voice:codec=g729", 1)[:2] == [(20_000_000, 20), (40_000_000, 20)]
    assert len(sent("voice", 1)) == 50


@pytest.mark.parametrize(
    ("model", "rate_bps", "within"),
    [
        ("voice", 64_000, 0.001),
        ("constant:rate=300 kbit/s,frame=500 B", 300_000, 0.01),
        ("video:rate=2 Mbit/s,fps=30", 2_000_000, 0.03),
        ("on-off:rate=8 Mbit/s,on=300 ms,off=100 ms", 6_000_000, 0.15),
    ],
)
def test_the_mean_rate_is_the_one_asked_for(model, rate_bps, within):
    assert sum(size for _, size in sent(model)) * 8 / 60 == pytest.approx(rate_bps, rel=within)


def test_cross_traffic_is_silent_between_its_bursts():
    gaps = [gap for gap, _ in islice(parse_model("on-off:rate=8 Mbit/s,on=1 s,off=1 s").frames(Random(3)), 5000)]
    silences = [gap for gap in gaps if gap > 10_000_000]
    assert 20 < len(silences) < 100
    assert set(gaps) - set(silences) == {10_000_000}


def test_a_seed_gives_the_same_traffic_again():
    assert sent("video", 5, seed=4) == sent("video", 5, seed=4) != sent("video", 5, seed=5)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("voices", "unknown traffic model 'voices', did you mean voice? allowed: voice, video"),
        ("voice:codec=mp3", "traffic model voice: codec: unknown codec 'mp3'; allowed: g711"),
        ("voice:g711", "traffic model voice:g711: g711 must be key=value"),
        ("constant:rate=fast", 'traffic model constant: rate: must look like "50 Mbit/s"'),
        ("blocks:size=1 MB", "traffic model blocks: size: must not exceed 524288 B"),
    ],
)
def test_a_wrong_model_is_one_line(model, words):
    with pytest.raises(LabError) as caught:
        parse_model(model)
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize("process", PROCESSES)
def test_arrivals_have_the_rate_asked_for(process):
    gaps = list(islice(Arrivals(process, 200.0).gaps_ns(Random(1)), 50_000))
    assert fmean(gaps) == pytest.approx(SECOND / 200, rel=0.1)


# --- frames over a connection --------------------------------------------------------------------------------


@contextmanager
def served(*arguments):
    """A server program on loopback: gives its port, and afterwards what it said in `account`."""
    with socket.create_server((HOST, 0)) as free:
        target = Endpoint(HOST, free.getsockname()[1])
    command = [sys.executable, "-m", "testbed.loadgen.frames", "server", "--listen", str(target), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    account = {}
    try:
        assert json.loads(process.stdout.readline())["ready"]
        yield target, account
        process.send_signal(signal.SIGTERM)
        account |= json.loads(process.communicate(timeout=10)[0])
    finally:
        process.kill()
        process.communicate()


def converse(target, **order):
    defaults = {"direction": "both", "traffic": "voice", "seconds": 0.3, "seed": 1}
    return asyncio.run(frames.converse(target, frames.Order(**defaults | order), time_limit_s=20))


def test_a_call_has_two_directions(tmp_path):
    with served("--raw", str(tmp_path)) as (target, account):
        result = converse(target)
    (heard,) = account["connections"]
    for end in (result, heard):
        assert end["failure"] is None
        assert end["sent_frames"] == end["received"]["frames"] == 14
        assert end["received"]["complete"]
        assert 0 < end["received"]["delay_ms"]["mean"] < 1000
    with (tmp_path / "frames-upload.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == list(range(14))
    assert all(int(row["received_ns"]) > int(row["due_ns"]) for row in rows)


def test_a_dialogue_measures_from_request_to_answer():
    with served() as (target, account):
        result = converse(target, direction="dialogue", traffic="constant:rate=800 kbit/s", answer_bytes=30_000)
    assert result["failure"] is None
    assert result["received"]["bytes"] == 30_000 * result["sent_frames"] > 0
    assert account["connections"][0]["received"]["frames"] == result["sent_frames"]


def test_blocks_go_as_fast_as_they_are_taken():
    with served() as (target, _):
        result = converse(target, direction="download", traffic="blocks", seconds=0.2)
    assert result["received"]["bytes"] > 5_000_000


def frames_of(*raw):
    """What a receiver makes of these bytes."""

    async def received():
        reader, log = asyncio.StreamReader(), framing.Log()
        for piece in raw:
            reader.feed_data(piece)
        reader.feed_eof()
        await framing.receive(reader, log)
        return log

    return asyncio.run(received())


def test_a_missing_frame_is_found():
    with pytest.raises(framing.Malformed, match="frame 2 of 100 bytes came where 1 was expected"):
        frames_of(framing.frame_bytes(0, 100, 5), framing.frame_bytes(2, 100, 6))


def test_changed_content_is_found():
    frame = bytearray(framing.frame_bytes(0, 100, 5))
    frame[50] ^= 1
    with pytest.raises(framing.Malformed, match="the content of frame 0 is not what was sent"):
        frames_of(bytes(frame))


def test_a_stream_without_its_end_is_short():
    with pytest.raises(asyncio.IncompleteReadError):
        frames_of(framing.frame_bytes(0, 100, 5))


def test_a_server_that_goes_away_is_a_failure():
    async def run():
        async def vanish(reader, writer):
            await reader.readline()
            writer.transport.abort()

        vanishing = await asyncio.start_server(vanish, HOST, 0)
        port = vanishing.sockets[0].getsockname()[1]
        order = frames.Order("both", "voice", 5.0, 1)
        async with vanishing:
            return await frames.converse(Endpoint(HOST, port), order, time_limit_s=10)

    result = asyncio.run(run())
    assert result["failure"] in ("reset", "short")
    assert not result["received"]["complete"]


# --- open loop -----------------------------------------------------------------------------------------------


def open_loop(**load):
    async def run():
        serving = await server.start_server(Endpoint(HOST, 0), Counter())
        target = Endpoint(HOST, serving.sockets[0].getsockname()[1])
        measured = client.Run(client.Load(target, **load))
        await measured.execute()
        serving.close()
        return measured

    return asyncio.run(run())


def test_an_open_loop_keeps_its_rate():
    run = open_loop(size_bytes=1000, requests=100, concurrency=50, arrivals=Arrivals("constant", 500.0))
    due = [timing.due_ns for timing in sorted(run.timings)]
    assert due == [2_000_000 * number for number in range(1, 101)]
    assert run.result()["succeeded"] == 100
    assert run.result()["duration_s"] >= 0.2


def test_what_waits_for_room_is_late_from_when_it_was_due():
    run = open_loop(size_bytes=3_000_000, requests=20, concurrency=1, arrivals=Arrivals("constant", 100_000.0))
    last = max(run.timings)
    assert last.start_ns > last.due_ns + 1_000_000
    assert run.result()["latency_ms"]["total"]["p100"] == pytest.approx((last.end_ns - last.due_ns) / 1e6, rel=0.05)
