"""Applications in real time on a real lab, and what crosses their way."""

import csv
import json
from pathlib import Path

import pytest

from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.kernel]

CODE = """
import dataclasses, pathlib
from testbed import stacks
from testbed.stacks import measure
from testbed.stacks.frames import CrossFlow, FramesLoad, cross_traffic, frames
directory = pathlib.Path({directory!r})
with Lab(load_topology("two-paths", {{"rate": "10 Mbit/s", "queue": "60 kB"}})) as lab:
    for name in ("python-mptcp", "kernel-mptcp"):
        stack = stacks.create(name)
        stack.prepare(lab)
        raw = directory / name
        raw.mkdir()
        say(dataclasses.asdict(frames(lab, stack, FramesLoad("voice", "both", 1.0), raw)))
    say(dataclasses.asdict(frames(lab, stack, FramesLoad("constant", "dialogue", 0.5), directory)))
    stack = stacks.create("kernel-tcp")
    stack.prepare(lab)
    with cross_traffic(lab, [CrossFlow("client", "server", "blocks")], directory, 20):
        say(dataclasses.asdict(frames(lab, stack, FramesLoad("voice", "upload", 1.5), directory)))
    say(dataclasses.asdict(measure.http(lab, stack, measure.HttpLoad(1000, 20, 20, rate_per_s=100.0), directory)))
    say(dataclasses.asdict(measure.curl(lab, stack, measure.HttpLoad(20000, 5, 1), directory)))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    directory = tmp_path_factory.mktemp("frames")
    return directory, run_inside(CODE.format(directory=str(directory)))


def test_a_call_loses_no_frame_on_either_stack(measured) -> None:
    directory, results = measured
    for name, call in zip(("python-mptcp", "kernel-mptcp"), results, strict=False):
        assert call["problems"] == []
        for direction in ("upload", "download"):
            assert call["result"][direction]["frames"] == call["result"]["sent_frames"] >= 45
            with (directory / name / f"frames-{direction}.csv").open() as file:
                assert len(list(csv.DictReader(file))) == call["result"]["sent_frames"]


def test_a_dialogue_has_an_answer_to_each_request(measured) -> None:
    dialogue = measured[1][2]
    assert dialogue["problems"] == []
    assert dialogue["result"]["dialogue"]["frames"] == dialogue["result"]["sent_frames"] > 5


def test_a_greedy_flow_makes_frames_wait_in_the_queue(measured) -> None:
    directory, (alone, *_, crossed, _, _) = measured
    assert crossed["problems"] == []
    # 60 kB at 10 Mbit/s are 48 ms.
    assert crossed["result"]["upload"]["delay_ms"]["p90"] > alone["result"]["upload"]["delay_ms"]["p50"] + 15
    (account,) = json.loads((directory / "cross-1-server.stdout").read_text().splitlines()[-1])["connections"]
    assert account["received"]["bytes"] > 500_000


def test_an_open_loop_and_curl(measured) -> None:
    open_loop, fetched = measured[1][-2:]
    assert open_loop["problems"] == fetched["problems"] == []
    assert open_loop["result"]["arrivals"] == {"process": "poisson", "per_s": 100.0}
    assert fetched["result"]["generator"] == "curl"
    assert fetched["result"]["succeeded"] == 5
