"""What single experiments compute and refuse, without a lab."""

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from experiments.fairness import jain_index
from experiments.interop import cells_of
from experiments.middleboxes import ROWS, judge
from experiments.mobility import MOMENTS, endpoint_ids
from experiments.receive_algorithms import read_arrivals
from experiments.receive_algorithms.queues import ALGORITHMS
from experiments.schedulers import EXAMPLE
from experiments.setup_latency import spread
from experiments.syn_flood import _counted
from mptcp_stack.mptcp.scheduler import SCHEDULERS
from testbed.errors import LabError, Unsupported
from testbed.experiment import Bench, Point, experiment_class, resolve
from testbed.interop.features import SCENARIOS
from testbed.interop.run import select
from testbed.middleboxes.registry import validated
from testbed.placement import ANYWHERE
from testbed.stacks import create
from testbed.stacks.frames import FramesLoad
from testbed.stacks.measure import BulkLoad, HttpLoad, Measurement
from testbed.stacks.setup import SetupLoad
from testbed.stacks.timeline import rate_bps, read_timeline


def experiment(name, *settings):
    """At quick scale with these settings, each point once."""
    return resolve(experiment_class(name), None, ["repetitions=1", *settings])


def measured(result, **more):
    return Measurement(result, [], {}, more.get("paths", {}), {}, more.get("links", {}))


# --- every experiment ---------------------------------------------------------------------------------------


class Asked(Exception):
    """What a point asks for, in place of a measurement."""


@pytest.mark.parametrize(("name", "kinds"), [
    ("ab-microflows", {HttpLoad}), ("bulk-veth", {BulkLoad}),
    ("lossy-link", {BulkLoad}), ("quickstart", {HttpLoad}), ("schedulers", {BulkLoad, FramesLoad}),
    ("setup-latency", {SetupLoad}), ("simultaneous-flows", {BulkLoad}), ("transfer", {BulkLoad, FramesLoad, HttpLoad}),
])  # fmt: skip
def test_every_point_asks_for_a_load_that_there_is(name, kinds, tmp_path, monkeypatch):
    """Requests of `frame=200`, without a unit, were refused by the program in the lab, and by nobody before."""

    def measure(bench, measuring, load):
        raise Asked(load)

    monkeypatch.setattr(Bench, "measure", measure)
    found = experiment(name)
    loads = []
    for point in found.points(found.stacks):
        bench = Bench(MagicMock(), create(point.stack), tmp_path, 1, ANYWHERE, print)
        with pytest.raises(Asked) as asked:
            found.run_point(bench, point)
        loads += asked.value.args
    assert {type(load) for load in loads} == kinds


def test_an_experiment_on_a_topology_of_the_users_own(tmp_path):
    path = tmp_path / "mine.yaml.j2"
    path.write_text("{# summary: mine #}{% extends 'two-paths.yaml.j2' %}")
    own, mine = experiment("quickstart"), experiment("quickstart", f"topology={path}")
    (topology,) = mine.specification()["topologies"]
    assert topology["name"] == "mine"
    assert mine.specification()["parameters"] == own.specification()["parameters"]
    (phone,) = experiment("quickstart", "topology=wifi-3g").specification()["topologies"]
    assert [link["name"] for link in phone["links"]] == ["wifi", "mobile"]


# --- micro-flows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("generator", "size", "asked"), [
    ("loadgen", 1_000, 100_000), ("ab", 1_000, 6_000), ("ab", 100_000, 250), ("ab", 10_000_000, 200),
])  # fmt: skip
def test_apachebench_makes_what_the_links_carry_in_the_time_of_a_point(generator, size, asked):
    """It has a time limit, too, but does not count the requests that are under way then."""
    found = experiment("ab-microflows", "seconds=2", "rate=50 Mbit/s", "requests=100000", "concurrency=100")
    assert found._requests(Point("kernel-tcp", 1, {"size_bytes": size, "generator": generator})) == asked


# --- simultaneous flows --------------------------------------------------------------------------------------


def test_the_time_allowed_is_that_of_the_kernels_self_test():
    found = experiment("simultaneous-flows", "cases=10/10:1/1,10/25:1/50")
    assert [found.limit_seconds(case) for case in found.parameters.cases] == pytest.approx([7.554, 4.509], abs=0.001)
    assert found.points(["python-mptcp"])[2].topology == {"rate": "10 Mbit/s,25 Mbit/s", "delay": "1 ms,50 ms"}


def test_a_path_that_was_hardly_used_is_noticed():
    found = experiment("simultaneous-flows", "cases=10/30:1/1")
    download, upload = found.points(["python-mptcp"])
    paths = {"server": {"server-eth1": {"tx_bytes": 10_000}, "server-eth2": {"tx_bytes": 30_000}}}
    assert found.checks(download, measured({}, paths=paths)) == []
    paths["client"] = {"client-eth1": {"tx_bytes": 38_000}, "client-eth2": {"tx_bytes": 2_000}}
    assert found.checks(upload, measured({}, paths=paths)) == ["path2 carried 5% of the bytes, of the rates it has 75%"]


@pytest.mark.parametrize("case", ["10:1/1", "10/10", "fast/10:1/1"])
def test_a_wrong_case_is_one_line(case):
    with pytest.raises(LabError, match=r"^--set: cases\[0\]: "):
        experiment("simultaneous-flows", f"cases={case}")


# --- a lossy link --------------------------------------------------------------------------------------------


def test_the_bound_is_that_of_mathis_or_the_link():
    found = experiment("lossy-link", "rate=50 Mbit/s", "delay=10 ms")
    assert found.bound_bps(0.0) == pytest.approx(47.8e6, rel=0.001)
    assert found.bound_bps(0.01) == pytest.approx(7.09e6, rel=0.001)
    assert found.bound_bps(1e-6) == found.bound_bps(0.0)


@pytest.mark.parametrize(("lost", "wrong"), [(100, False), (130, False), (160, True), (0, True)])
def test_a_link_that_loses_other_than_asked_is_noticed(lost, wrong):
    found = experiment("lossy-link", "losses=1 %")
    numbers = {"offered": 10_500, "queue_dropped": 500, "lost": lost}
    problems = found.checks(found.points(["x"])[0], measured({}, links={"path1": {"server->client": numbers}}))
    assert bool(problems) == wrong


# --- fairness ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rates", "index"), [((5, 5), 1.0), ((2, 1), 0.9), ((1, 0), 0.5), ((0, 0), 0.0)])
def test_jains_index(rates, index):
    assert jain_index(rates) == pytest.approx(index)


def test_rates_are_those_between_two_moments(tmp_path):
    path = tmp_path / "timeline.csv"
    rows = "".join(f"{second * 10**9},{second * second * 1000}\n" for second in range(6))
    path.write_text("time_ns,received_bytes\n" + rows + "6000000000,36")  # cut off in the middle of a number
    assert rate_bps(read_timeline(path), 2 * 10**9, 4 * 10**9) == (16_000 - 4_000) * 8 / 2


def test_a_bottleneck_that_was_none_is_noticed():
    found = experiment("fairness")
    (point,) = found.points(["python-mptcp@lia"])
    assert found.checks(point, measured({"mptcp_bps": 9e6, "tcp_bps": 9e6})) == []
    (problem,) = found.checks(point, measured({"mptcp_bps": 9e6, "tcp_bps": 1e6}))
    assert problem == "the link was not the bottleneck: 50% of it was used"


# --- TIME-WAIT -----------------------------------------------------------------------------------------------


def test_more_waiting_than_there_were_is_noticed():
    found = experiment("time-wait")
    points = found.points(["python-mptcp"])
    assert [point.factors["closes_first"] for point in points] == ["server", "client"]
    point = points[0]
    result = {"duration_s": 3.0, "subflows": 1500, "client_time_wait": 0, "server_time_wait": 1500}
    assert found.checks(point, measured(result)) == []
    assert len(found.checks(point, measured(result | {"duration_s": 70.0, "server_time_wait": 1501}))) == 2


# --- receive algorithms --------------------------------------------------------------------------------------


def test_arrivals_are_what_both_ends_say_together(tmp_path):
    def write(host, *events):
        (tmp_path / f"events-{host}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))

    def up(subflow, local, remote):
        return {"event": "SubflowUp", "subflow": subflow, "local": local, "remote": remote}

    def sent(subflow, ssn, dsn, length, event="DataSent"):
        return {"event": event, "subflow": subflow, "ssn": ssn, "dsn": dsn, "length_bytes": length}

    def received(subflow, ssn, length):
        return {"event": "DataReceived", "subflow": subflow, "ssn": ssn, "length_bytes": length}

    # Either end numbers the subflows in its own way; one event may speak of several mappings.
    write("server", up(0, "s1", "c1"), up(2, "s2", "c2"), sent(0, 1, 500, 10), sent(2, 1, 510, 10),
          sent(2, 11, 530, 10), sent(0, 11, 520, 10, "Reinjected"), {"event": "TimedOut", "subflow": 0})  # fmt: skip
    write("client", up(0, "c1", "s1"), up(1, "c2", "s2"), received(1, 1, 20), received(0, 1, 5), received(0, 6, 15))
    assert read_arrivals(tmp_path) == [(1, 510, 10), (1, 530, 10), (0, 500, 5), (0, 505, 5), (0, 520, 10)]


def test_an_algorithm_that_loses_bytes_is_noticed():
    found = experiment("receive-algorithms", "subflows=2")
    (point,) = found.points(["python-mptcp"])
    assert point.topology["delay"] == "5000000 ns,75000000 ns"
    result = {"received_bytes": 100, "subflows_used": 2} | {f"delivered_bytes_{name}": 100 for name in ALGORITHMS}
    assert found.checks(point, measured(result)) == []
    assert len(found.checks(point, measured(result | {"subflows_used": 1, "delivered_bytes_tree": 90}))) == 2


def test_receive_algorithms_are_compared_as_pure_python_alone():
    found = experiment("receive-algorithms", "subflows=2")
    assert [create(stack).build for stack in found.stacks] == ["pure"]
    (point,) = found.points(["python-mptcp+sack=off"])
    stack = SimpleNamespace(name="python-mptcp", build="compiled", runs_our_stack=lambda host: True)
    with pytest.raises(Unsupported, match=r"stack python-mptcp\+sack=off is compiled: add \+build=pure"):
        found.run_point(SimpleNamespace(stack=stack), point)


# --- DSS checksums -------------------------------------------------------------------------------------------


def test_stacks_take_turns_and_checksums_are_looked_for():
    found = experiment("dss-checksum", "repetitions=2")
    points = found.points(["kernel-mptcp", "kernel-mptcp+dss_checksum=on"])
    assert [point.stack.endswith("on") for point in points[:4]] == [False, True, True, False]
    assert found.checks(points[0], measured({"dss_checksum": [False, False]})) == []
    (problem,) = found.checks(points[1], measured({"dss_checksum": [True, False]}))
    assert problem == "DSS checksums wanted: True; used by client and server: [True, False]"


# --- setting up connections ----------------------------------------------------------------------------------


def test_percentiles_are_in_microseconds():
    assert spread("answer", range(0, 101_000, 1000)) == {
        "answer_p5_us": 5.0, "answer_p25_us": 25.0, "answer_median_us": 50.0, "answer_p75_us": 75.0,
        "answer_p95_us": 95.0,
    }  # fmt: skip
    assert spread("answer", []) == {}


def test_handshakes_that_are_not_as_they_should_be_are_noticed():
    found = experiment("setup-latency", "open=10", "samples=20")
    (point,) = found.points(["kernel-tcp"])
    good = {"open": 10, "handshakes": 30, "retransmitted": 0, "unanswered": 0}
    assert found.checks(point, measured(good)) == []
    bad = {"open": 9, "handshakes": 29, "retransmitted": 1, "unanswered": 1}
    assert len(found.checks(point, measured(bad))) == 4


# --- middleboxes ---------------------------------------------------------------------------------------------

GOOD = {"content_ok": True, "failure": None}
MPTCP = {"MPTcpExtMPCapableACKRX": 1, "MPTcpExtMPJoinAckRx": 1}


def judged(late=(5000, 4000), server=MPTCP, client=None, **ends):
    result = {**GOOD, **ends.get("result", {}), "server": {**GOOD, **ends.get("served", {})}}
    result["late_bytes"] = {"path1": late[0], "path2": late[1]}
    box = {"seen": 9, "changed": 2, "dropped": 3, "injected": 0}
    links = {"path1": {"client->server": {"offered": 1}, "middlebox 1 (nat)": box, "middlebox 2 (split)": box}}
    measurement = Measurement(result, [], {}, {}, {"client": {"counters": client or {}}, "server": None}, links)
    measurement.counters.update(client={}, server=server)
    judge(measurement)
    return measurement.result


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ({}, "full"),
        ({"late": (9000, 100)}, "fewer"),
        ({"late": (0, 9000)}, "fewer"),
        ({"server": {}}, "fallback"),
        ({"client": {"MPTcpExtMPCapableDataFallback": 1}}, "fallback"),
        ({"result": {"failure": "timeout"}}, "failed"),
        ({"served": {"failure": "reset"}, "server": {}}, "failed"),
        ({"served": {"content_ok": False, "failure": "content"}}, "corrupt"),
        ({"result": {"content_ok": False, "failure": "timeout"}}, "corrupt"),
    ],
)
def test_the_verdict_on_a_connection_through_a_middlebox(evidence, verdict):
    result = judged(**evidence)
    assert result["verdict"] == verdict
    assert (result["middleboxes_changed"], result["middleboxes_dropped"]) == (4, 6)


@pytest.mark.parametrize(
    ("stack", "row", "evidence", "blamed"),
    [
        ("python-mptcp", "modify-payload", {}, False),
        ("python-mptcp+dss_checksum=on", "modify-payload", {}, True),
        ("python-mptcp+dss_checksum=on", "modify-payload", {"fallbacks": "server: InfiniteMapTx"}, False),
        ("kernel-mptcp+dss_checksum=on", "modify-payload", {"mp_fails": 1}, False),
        ("kernel-mptcp+dss_checksum=on", "modify-payload", {"mp_fails": 1, "joined": 1}, True),
        ("kernel-tcp", "alg", {}, False),
        ("kernel-mptcp", "coalesce", {}, True),
        ("kernel-mptcp", "coalesce", {"mp_fails": 1}, True),
    ],
)
def test_altered_bytes_are_a_fault_where_they_could_have_been_seen(stack, row, evidence, blamed):
    found = experiment("middleboxes", f"rows={row}", "places=both")
    (point,) = found.points([stack])
    result = {"fallbacks": "", "mp_fails": 0, "joined": 0, **evidence}
    assert bool(found.checks(point, measured({"verdict": "corrupt", **result}))) == blamed
    assert found.checks(point, measured({"verdict": "failed", **result})) == []


def test_rows_and_places_are_checked():
    for setting, message in (("rows=nats", "unknown row 'nats', did you mean nat?"), ("places=x", "unknown place 'x'")):
        with pytest.raises(LabError, match=message):
            experiment("middleboxes", setting)


def test_a_row_of_chance_is_played_more_often():
    found = experiment("middleboxes", "rows=nat,corrupt-dss", "places=second", "repetitions=2")
    plays = [point.factors["row"] for point in found.points(["kernel-mptcp"])]
    assert (plays.count("nat"), plays.count("corrupt-dss")) == (2, 10)


def test_every_row_of_the_matrix_is_valid():
    for row in ROWS.values():
        for box in row.boxes:
            validated(box)


# --- interoperability ----------------------------------------------------------------------------------------


def test_every_cell_is_played_at_paper_scale_and_every_feature_at_the_quick_one():
    played = {
        scale: [
            (cell.scenario.name, cell.column)
            for point in resolve(experiment_class("interop"), scale, []).points(["python-mptcp"])
            for cell in cells_of(point)
        ]
        for scale in ("quick", "paper")
    }
    assert len(played["paper"]) == len(set(played["paper"])) == len(select((), (), ()))
    assert {name for name, _ in played["quick"]} == set(SCENARIOS)


def test_the_kernels_peer_is_our_stack():
    with pytest.raises(LabError, match=r"^interop: stack 'kernel-tcp': "):
        experiment("interop").points(["kernel-tcp"])


# --- mobility ------------------------------------------------------------------------------------------------


def moved(moves, **counters):
    """A point in which everything was as it should be, but for `counters` of both ends."""
    full = {"MPTcpExtRmAddr": 2, "MPTcpExtMPJoinAckRx": 3, "MPTcpExtAddAddr": 3, "MPTcpExtEchoAdd": 3}
    rates = {
        moment.name: {str(path + 1): 7_900_000 if moment.there or path != moment.path else 900 for path in (0, 1)}
        for moment in MOMENTS
    }
    ends = dict.fromkeys(("client", "server"), full | counters)
    found = experiment("mobility")
    (point,) = [point for point in found.points(["kernel-mptcp"]) if point.factors["moves"] == moves]
    stacks = dict.fromkeys(ends)
    return found, point, Measurement({"rates_bps": rates}, [], ends, {}, stacks)


@pytest.mark.parametrize("moves", ["client", "server"])
def test_a_path_carries_with_its_address_and_not_without(moves):
    found, point, measurement = moved(moves)
    assert found.checks(point, measurement) == []
    measurement.result["rates_bps"]["first_goes"]["1"] = 400_000
    measurement.result["rates_bps"]["second_returns"] = {"1": 8_000_000, "2": 0}
    assert found.checks(point, measurement) == [
        "second_returns: path 2 has its address and carries 0%",
        "first_goes: path 1 has lost its address and carries 5%",
    ]


def test_changes_of_addresses_must_have_reached_the_other_end():
    found, point, measurement = moved("client", MPTcpExtRmAddr=1, MPTcpExtAddAddr=0)
    assert found.checks(point, measurement) == ["server: RmAddr is 1, not 2 or more"]
    found, point, measurement = moved("server", MPTcpExtMPJoinAckRx=2, MPTcpExtEchoAdd=2)
    assert found.checks(point, measurement) == [
        "server: MPJoinAckRx is 2, not 3 or more",
        "server: EchoAdd is 2, not 3 or more",
    ]


def test_the_kernels_ids_of_an_address():
    shown = "10.0.1.1 id 1 subflow dev client-eth1 \n10.0.1.11 id 4 signal \n10.0.2.1 id 2 rawflags 10 \n"
    assert endpoint_ids(shown, "10.0.1.1") == ["1"]
    assert endpoint_ids(shown, "10.0.2.1") == ["2"]
    assert endpoint_ids("", "10.0.1.1") == []


# --- a SYN flood ---------------------------------------------------------------------------------------------


def flooded(stack, counters=None, **result):
    """What is wrong with a point of 200 requests beside a flood of 1000 SYNs that all were heard."""
    found = experiment("syn-flood", "floods=1000")
    (point,) = found.points([stack])
    server = {"TcpInSegs": 2000, "TcpExtSyncookiesSent": 300, "TcpExtSyncookiesRecv": 200} | (counters or {})
    sides = {"client": {"counters": {"TcpOutSegs": 1000}}, "server": {"counters": server}}
    measurement = Measurement({}, [], {}, {}, sides)
    measurement.result.update(
        {"requests": 200, "succeeded": 200, "failures": {}, "half_open_peak": 1024, **_counted(measurement, 1000)}
        | result
    )
    return found.checks(point, measurement)


def test_with_cookies_a_flood_that_is_heard_keeps_nobody_out():
    assert flooded("python-mptcp") == []
    lost = {"succeeded": 199, "failures": {"timeout": 1}}
    assert flooded("python-mptcp", **lost) == ["1 requests were not served in spite of cookies"]
    assert flooded("python-mptcp", {"TcpInSegs": 1900}, **lost) == []  # the machine did not hear all of it
    (problem,) = flooded("python-mptcp", {"MPTcpExtMPFallbackTokenInit": 3})
    assert problem == "cookies cost MPTCP: server: 3 MPFallbackTokenInit"
    (problem,) = flooded("kernel-tcp", {"TcpExtSyncookiesSent": 0})
    assert problem.startswith("no cookie was sent")


def test_without_cookies_requests_may_be_refused_but_never_altered():
    without, none = "kernel-tcp+syn_cookies=off", {"TcpExtSyncookiesSent": 0}
    assert flooded(without, none, succeeded=0, failures={"timeout": 150, "reset": 50}) == []
    assert flooded(without, none, succeeded=199, failures={"content": 1}) == [
        "1 requests: what arrived was not what was sent"
    ]
    assert flooded(without) == ["300 cookies were sent where there were to be none"]
    assert len(flooded("kernel-tcp", half_open_peak=3073)) == 1


def test_without_a_flood_there_is_nothing_to_leave_cookies_out_for():
    found = experiment("syn-flood")
    assert [point.factors["flood_per_s"] for point in found.points(["python-tcp+syn_cookies=off"])] == [1000, 10_000]
    assert [point.factors["syn"] for point in found.points(["python-tcp"])] == ["none", "mp-capable", "mp-capable"]


# --- schedulers ----------------------------------------------------------------------------------------------


def test_every_scheduler_is_measured():
    stacks = experiment("schedulers").stacks
    assert {stack.partition("+scheduler=")[2] for stack in stacks} == {"", *SCHEDULERS, EXAMPLE}
