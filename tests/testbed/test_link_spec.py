"""Links as they are asked for: queues, schedules, traces, backends; and what is refused, in one line."""

import pytest

from testbed.calibrate.depth import _depth
from testbed.calibrate.way import Way
from testbed.errors import LabError, Unsupported
from testbed.input.validation import validate
from testbed.links.backends import resolve
from testbed.links.shaping import commands
from testbed.spec import Topology

MS, SECOND = 10**6, 10**9


def topology(**fields):
    ends = [
        {"host": host, "interface": f"{host}-eth1", "address": f"10.0.1.{number}/24"}
        for number, host in enumerate(("client", "server"), 1)
    ]
    link = {"name": "path1", "ends": ends, "rate": "8 Mbit/s", "queue": "100 kB", **fields}
    return validate(Topology, {"name": "t", "hosts": [{"name": "client"}, {"name": "server"}], "links": [link]}, "t")


def link(**fields):
    return topology(**fields).links[0]


# --- queues ---


def test_a_queue_in_bytes_packets_or_bandwidth_times_delay():
    assert link(queue="100 kB").directions[0].queue_bytes == 100_000
    assert link(queue="60 packets").directions[0].queue_packets == 60
    # 8 Mbit/s and 20 ms there and 30 ms back: 50 kB.
    there, back = link(queue="1.5 bdp", delay="20 ms", reverse={"delay": "30 ms", "rate": "4 Mbit/s"}).directions
    assert (there.queue_bytes, back.queue_bytes) == (75_000, 37_500)
    assert link(queue="1 bdp", delay="1 us").directions[0].queue_bytes == 1514


# --- schedules ---


def test_a_schedule_sets_ramps_and_takes_down():
    there, back = link(
        schedule=[
            {"at": "1 s", "set": {"rate": "2 Mbit/s", "loss": "5 %"}, "direction": "forward"},
            {"at": "2 s", "set": {"rate": "4 Mbit/s"}, "over": "40 ms", "direction": "forward"},
            {"at": "3 s", "state": "down"},
            {"at": "4 s", "state": "up"},
        ]
    ).timelines
    assert [(one.at_ns, one.impairments.rate_bps, one.up) for one in there] == [
        (SECOND, 2_000_000, True),
        (2 * SECOND + 10 * MS, 2_500_000, True),
        (2 * SECOND + 20 * MS, 3_000_000, True),
        (2 * SECOND + 30 * MS, 3_500_000, True),
        (2 * SECOND + 40 * MS, 4_000_000, True),
        (3 * SECOND, 4_000_000, False),
        (4 * SECOND, 4_000_000, True),
    ]
    assert {one.impairments.loss for one in there} == {0.05}
    assert [(one.at_ns, one.impairments.rate_bps, one.up) for one in back] == [
        (3 * SECOND, 8_000_000, False),
        (4 * SECOND, 8_000_000, True),
    ]


def test_what_is_written_down_of_a_change_is_what_it_names():
    written = topology(reverse={"loss": "1 %"}, schedule=[{"at": "1 s", "set": {"delay": "5 ms"}}]).model_dump(
        mode="json"
    )["links"][0]
    assert written["reverse"] == {"loss": 0.01}
    assert written["schedule"][0]["changes"] == {"delay_ns": 5 * MS}


# --- traces ---


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "cell.trace"

    def write(text):
        path.write_text(text)
        return str(path)

    return write


def test_a_trace_of_mahimahi(trace):
    one = link(rate="none", trace=trace("1\n1\n3\n\n10\n"), queue="20 packets").directions[0]
    assert one.trace.opportunities_ms == (1, 1, 3, 10)
    assert one.capacity_bps == 4 * 1514 * 8 * 100
    written = one.model_dump(mode="json")["trace"]
    assert written.keys() == {"file", "sha256"}


def test_the_trace_that_comes_with_the_lab():
    one = link(rate="none", trace="swell.trace").directions[0]
    assert (one.trace.period_ms, one.capacity_bps) == (4000, pytest.approx(5_000_000, rel=0.001))


def test_a_trace_is_the_rate(trace):
    with pytest.raises(LabError) as caught:
        link(trace=trace("5\n"))
    assert caught.value.message.startswith("t: links[0].trace: and rate exclude each other")


WRONG_TRACES = {
    "no number": ("1\nx\n", "line 2: must be a time in whole ms"),
    "backwards": ("5\n4\n", "line 2: must be a time in whole ms, not before that of the line above"),
    "empty": ("\n", "must end with the trace's length in ms, more than 0"),
    "no length": ("0\n0\n", "must end with the trace's length in ms, more than 0"),
}


@pytest.mark.parametrize(("text", "message"), WRONG_TRACES.values(), ids=WRONG_TRACES)
def test_a_wrong_trace_is_one_line(trace, text, message):
    with pytest.raises(LabError) as caught:
        link(rate="none", trace=trace(text))
    assert caught.value.message.startswith("t: links[0].trace: ")
    assert message in caught.value.message


# --- what is wrong ---

WRONG = {
    "queue in boxes": ({"queue": "3 boxes"}, 'queue: must look like "100 kB", "60 packets" or "1.5 bdp"'),
    "half a packet": ({"queue": "1.5 packets"}, 'queue: must look like "100 kB", "60 packets" or "1.5 bdp"'),
    "no queue": ({"queue": "0 packets"}, 'queue: must look like "100 kB", "60 packets" or "1.5 bdp"'),
    "queue of less than a packet": (
        {"queue": "1 kB"},
        "queue: must hold at least one packet of the MTU (1514 B with Ethernet)",
    ),
    "product without a delay": ({"queue": "2 bdp"}, "queue: in bdp needs a delay"),
    "no such trace": ({"rate": "none", "trace": "none.trace"}, "trace: there is no file none.trace"),
    "mtu": ({"mtu": 60}, "mtu: input should be greater than or equal to 68 (got 60)"),
    "fallback": ({"fallback": "tc"}, "fallback: must be one of 'none' or 'emulator'"),
    "backend": ({"backend": "netem"}, "backend: must be one of 'auto', 'direct', 'tc' or 'emulator'"),
    "neither set nor state": ({"schedule": [{"at": "1 s"}]}, "schedule[0].set: or state: a change has one of them"),
    "no time": ({"schedule": [{"state": "up"}]}, "schedule[0].at: is required"),
    "state": ({"schedule": [{"at": 0, "state": "off"}]}, "schedule[0].state: must be one of 'up' or 'down'"),
    "nothing set": ({"schedule": [{"at": 0, "set": {}}]}, "schedule[0].set: names no field that changes"),
    "unknown set": (
        {"schedule": [{"at": 0, "set": {"speed": 1}}]},
        "schedule[0].set.speed: unknown field 'speed'; allowed: rate, queue, delay,",
    ),
    "slowly down": ({"schedule": [{"at": 0, "state": "down", "over": "1 s"}]}, "schedule[0].over: belongs to set"),
    "carrier up": ({"schedule": [{"at": 0, "state": "up", "carrier": True}]}, "schedule[0].carrier: belongs to state"),
    "carrier of whom": (
        {"schedule": [{"at": 0, "state": "down", "carrier": "router"}]},
        "schedule[0].carrier: must be true, false, client or server",
    ),
    "ramp of duplicates": (
        {"schedule": [{"at": 0, "set": {"duplicate": "1 %"}, "over": "1 s"}]},
        "schedule[0].set.duplicate: cannot change gradually; rate, delay, jitter and loss can",
    ),
    "ramp to none": (
        {"schedule": [{"at": 0, "set": {"rate": "none", "queue": "none"}}, {"at": "1 s", "set": {"rate": "1 Mbit/s"}}]},
        "schedule[1].set.queue: a shaped link needs the size of its queue",
    ),
    "backwards": (
        {"schedule": [{"at": "2 s", "state": "down"}, {"at": "1 s", "state": "up"}]},
        "schedule[1].at: must not be before the end of the change above it",
    ),
    "during a ramp": (
        {"schedule": [{"at": 0, "set": {"loss": "1 %"}, "over": "2 s"}, {"at": "1 s", "state": "up"}]},
        "schedule[1].at: must not be before the end of the change above it",
    ),
    "jitter beyond delay, later": (
        {"schedule": [{"at": "1 s", "set": {"jitter": "1 ms"}}]},
        "schedule[0].set.jitter: must not exceed the delay",
    ),
    "tc over time": (
        {"backend": "tc", "schedule": [{"at": 0, "state": "down"}]},
        "backend: tc cannot do schedule: use emulator or auto",
    ),
}


@pytest.mark.parametrize(("fields", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_with_its_place(fields, message):
    with pytest.raises(LabError) as caught:
        link(**fields)
    assert caught.value.message.startswith(f"t: links[0].{message}")
    assert "\n" not in caught.value.message


# --- backends ---


def kernel(*qdiscs):
    return lambda kind: kind in qdiscs


def test_what_the_kernel_lacks_is_refused_or_moved_and_recorded():
    asked = {"backend": "tc", "delay": "5 ms", "loss": "1 %"}
    why = "backend tc needs netem for delay, loss, which this kernel lacks"
    with pytest.raises(Unsupported) as caught:
        resolve(topology(**asked), kernel("tbf"))
    assert caught.value.message == f"link path1: {why}: use backend: emulator, or add fallback: emulator"
    moved, reasons = resolve(topology(**asked, fallback="emulator"), kernel("tbf"))
    assert moved.links[0].kind == "emulator"
    assert reasons == {"path1": why}
    kept, reasons = resolve(topology(**asked, fallback="emulator"), kernel("tbf", "netem"))
    assert (kept.links[0].kind, reasons) == ("tc", {})


def test_what_a_backend_can_never_do_falls_back_too():
    moved, reasons = resolve(topology(backend="tc", fallback="emulator", delay="5 ms", jitter="1 ms"), kernel("tbf"))
    assert moved.links[0].kind == "emulator"
    assert reasons == {"path1": "backend tc cannot do jitter"}


def test_a_choice_left_to_the_lab_is_made_by_what_the_kernel_has():
    assert resolve(topology(), kernel("tbf"))[0].links[0].kind == "tc"
    moved, reasons = resolve(topology(), kernel())
    assert moved.links[0].kind == "emulator"
    assert reasons == {"path1": "backend tc needs tbf for rate, queue, which this kernel lacks"}


def tc(**fields):
    one = link(backend="tc", **fields)
    return commands("x", one.directions[0], one.frame_bytes)


def test_the_commands_of_tc():
    assert tc() == ["qdisc replace dev x root handle 1: tbf rate 8000000bit burst 15140 limit 100000"]
    assert tc(queue="60 packets", mtu=1000) == [
        "qdisc replace dev x root handle 1: tbf rate 8000000bit burst 10140 limit 60840",
        "qdisc replace dev x parent 1:1 pfifo limit 60",
    ]
    assert tc(delay="5 ms", loss="0.1 %", duplicate="2 %") == [
        "qdisc replace dev x root handle 1: netem limit 100000 delay 5000000ns loss 0.1% duplicate 2%",
        "qdisc replace dev x parent 1:1 handle 2: tbf rate 8000000bit burst 15140 limit 100000",
    ]
    assert tc(rate="none", queue="none", loss="1 %", burst_loss={"enter": "1 %", "leave": "20 %", "lost": 0.5}) == [
        "qdisc replace dev x root handle 1: netem limit 100000 loss gemodel 1% 20% 50.5% 1%"
    ]


# --- what a calibration can tell of a queue ---


def test_a_queue_that_could_not_be_filled_stays_unknown_and_one_that_dropped_is_measured():
    fast = link(rate="1 Gbit/s", queue="1500 kB", backend="tc")
    way = Way(fast, fast.directions[0], *fast.ends)
    slow_sender = _depth(way, sent=2016, took_ns=23_500_000, arrived_bytes=2016 * 1514)
    assert (slow_sender.measured_bytes, slow_sender.problem) == (None, None)
    assert "not filled by 1.0 Gbit/s" in str(slow_sender)
    shallow = _depth(way, sent=2016, took_ns=23_500_000, arrived_bytes=1990 * 1514)
    assert shallow.problem, "something was dropped: the queue is not as deep as asked"
    quick_sender = _depth(way, sent=2016, took_ns=8_000_000, arrived_bytes=1735 * 1514)
    assert quick_sender.measured_bytes == pytest.approx(1_500_000, rel=0.01)
    assert quick_sender.problem is None
