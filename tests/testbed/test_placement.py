"""Placement: how it is asked for, and what a lab makes of it."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.doctor import rfs_follows_mptcp
from testbed.errors import LabError, Unsupported
from testbed.experiment import experiment_class, resolve
from testbed.input.validation import validate
from testbed.placement import Placement, observe
from testbed.placement.apply import Knob, check_cpus, knobs_of
from testbed.placement.cpus import format_mask, governors, online_cpus, parse_cpus, parse_mask
from testbed.placement.spec import by_interface, parse_by_host
from tests.testbed.lab_run import end, run_inside, start_inside, wait_until
from tests.testbed.toy import Toy

RFS_TABLE = Path("/proc/sys/net/core/rps_sock_flow_entries")


@pytest.mark.parametrize(
    ("text", "cpus", "mask"),
    [("0", (0,), "1"), ("2-3,0", (0, 2, 3), "d"), ("32", (32,), "1,00000000"), ("0,35", (0, 35), "8,00000001")],
)
def test_lists_of_cpus_and_their_masks(text: str, cpus: tuple[int, ...], mask: str) -> None:
    assert parse_cpus(text) == cpus
    assert format_mask(cpus) == mask
    assert parse_mask(f"00{mask}") == sum(1 << cpu for cpu in cpus)


def test_lists_by_host_and_interface() -> None:
    assert parse_by_host("client:0,2-3,server:1/0") == {"client": ((0, 2, 3),), "server": ((1,), (0,))}
    interfaces = {"client": ["c1", "c2"], "server": ["s1", "s2"]}
    assert by_interface("rps_cpus", "client:0/1", interfaces) == {("client", "c1"): [0], ("client", "c2"): [1]}
    assert len(by_interface("rps_cpus", "0-1", interfaces)) == 4
    assert Placement(process_cpus="1").cpus("client") == (1,)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"rps_cpus": "3-1"}, 'rps_cpus: must be a list of CPUs below 8192 such as "0" or "0,2-3", not \'3-1\''),
        ({"rps_cpus": "client=1"}, 'rps_cpus: must look like "client:0,server:2-3" or "0-1" for every host'),
        ({"rps_cpus": "client:0,client:1"}, "rps_cpus: names client twice"),
        ({"process_cpus": "client:0/1"}, "process_cpus: a program has no interfaces: one list of CPUs for each host"),
        (
            {"rfs_entries": "1000"},
            "rfs_entries: must be a power of two up to 1048576, such as 4096 (0: no flow steering)",
        ),
        (
            {"rfs_entries": "-1"},
            "rfs_entries: must be a power of two up to 1048576, such as 4096 (0: no flow steering)",
        ),
    ],
)
def test_wrong_placements_are_one_line(values: dict[str, str], line: str) -> None:
    with pytest.raises(LabError) as caught:
        validate(Placement, values, "--set")
    assert caught.value.message == f"--set: {line}"


def test_an_experiment_takes_a_placement_among_its_parameters() -> None:
    experiment = resolve(Toy, None, ["process_cpus=client:0,server:1", "rfs_entries=4096"])
    placement = experiment.placement(experiment.points(["kernel-tcp"])[0])
    assert placement == Placement(process_cpus="client:0,server:1", rfs_entries=4096)
    assert placement.cpus("client") == (0,)
    assert placement.cpus("proxy") == ()


def test_cpus_that_are_not_there_are_refused() -> None:
    absent = max(online_cpus()) + 1
    with pytest.raises(LabError, match=f"there is no CPU {absent}"):
        check_cpus(Placement(process_cpus=f"client:{absent}"))
    assert set(governors()) == set(online_cpus())


@dataclass
class ThisMachine:
    """A host whose interfaces are looked for on this machine."""

    pid: int
    interfaces: list[str]


def test_interfaces_without_queues_or_interrupts_are_refused() -> None:
    for field in ("rps_cpus", "xps_cpus", "irq_cpus"):
        with pytest.raises(Unsupported, match="none0"):
            knobs_of(Placement(**{field: "0"}), {"client": ThisMachine(os.getpid(), ["none0"])})


def test_a_file_that_does_not_hold_what_was_written_is_an_error(tmp_path: Path) -> None:
    knob = Knob("c: rps_cpus", Path("/dev/null"), "3", lambda text: int(text or "0", 16))
    with pytest.raises(LabError, match="c: rps_cpus: set to 3 but reads"):
        knob.set("3")
    with pytest.raises(Unsupported, match="no such file"):
        Knob("c", tmp_path / "absent", "3", int).set("3")


@pytest.mark.root
@pytest.mark.alone
def test_what_is_set_is_read_back_and_put_back_whatever_happens() -> None:
    said = run_inside("""
        from testbed.placement import Placement
        from testbed.placement.apply import RFS_TABLE, knobs_of
        wanted = Placement(rps_cpus="client:0", xps_cpus="server:0", rfs_entries=2048)
        with Lab(load_topology("two-paths", {"delay": "1 ms"})) as lab:
            def state():
                return {knob.name: knob.read() for knob in knobs_of(wanted, lab.hosts)}
            before = state(), inside.machine.sysctl(RFS_TABLE)
            with lab.placed(wanted) as record:
                say(record)
                say(state() == record["files"])
            try:
                with lab.placed(wanted):
                    raise KeyError
            except KeyError:
                say((state(), inside.machine.sysctl(RFS_TABLE)) == before)
            try:
                with lab.placed(wanted):
                    knobs_of(wanted, lab.hosts)[0].path.write_text("0")
            except Exception as error:
                say(str(error))
            say((state(), inside.machine.sysctl(RFS_TABLE)) == before)
            import os
            with lab.placed(Placement(process_cpus="emulator:0")) as record:
                say([record["emulator_cpus"], sorted(os.sched_getaffinity(lab._emulation.pid))])
    """)
    record, *others = said
    assert record["files"]["client: client-eth2/rx-0/rps_cpus"].lstrip("0") == "1"
    assert record["files"]["server: server-eth1/rx-0/rps_flow_cnt"] == "2048"
    assert record["net.core.rps_sock_flow_entries"] >= 2048
    changed = "client: client-eth1/rx-0/rps_cpus: set to 1 but reads 0"
    assert others == [True, True, changed, True, [[0], [0]]]


@pytest.mark.root
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_gives_the_table_of_flows_back(number: int) -> None:
    before = RFS_TABLE.read_text()
    wanted = str(2 * int(before) or 2048)
    process = start_inside(f"""
        from testbed.placement import Placement
        with Lab(load_topology("two-paths", {{"rate": "none"}})) as lab:
            with lab.placed(Placement(rfs_entries={wanted})):
                say(1)
                time.sleep(1000)
    """)
    try:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        assert RFS_TABLE.read_text().strip() == wanted
        process.send_signal(number)
        assert wait_until(lambda: RFS_TABLE.read_text() == before)
    finally:
        end(process)


# --- what the counters show ----------------------------------------------------------------------------------


def sample(source: str, host: str = "", **content: object) -> str:
    return json.dumps({"time_ns": 1, "host": host, "source": source, **content}) + "\n"


def test_counts_are_what_was_added_between_the_first_and_the_last_sample(tmp_path: Path) -> None:
    event = "net:netif_receive_skb client-eth1"
    lines = [sample(event, "client", value={"0": zero, "1": one}) for zero, one in ((5, 1), (6, 2), (10, 4))]
    (tmp_path / "tracepoints.jsonl").write_text("".join(lines))
    assert observe.received_packets(tmp_path) == {("client", "client-eth1"): {0: 5, 1: 3}}
    softnet = "0 0 0 0 0 0 0 0 0 {:x} 0 0 0\n0 0 0 0 0 0 0 0 0 {:x} 0 0 3\n"
    lines = [sample("softnet_stat", text=softnet.format(*counts)) for counts in ((1, 16), (3, 48))]
    (tmp_path / "softnet.jsonl").write_text("".join(lines))
    assert observe.steered_packets(tmp_path) == {0: 2, 3: 32}


def test_what_cores_and_programs_needed(tmp_path: Path) -> None:
    cores = "cpu 9 9 9 9\ncpu0 {} 0 0 50 7 0 1 0 0 0\nticks_per_second 100\n"
    processes = {"7": {"host": "client", "command": ["python", "-m", "testbed.loadgen.bulk"]}}
    processes |= {"8": {"host": "client", "command": ["ss"]}, "9": {"host": "", "command": ["testbed.loadgen"]}}
    lines = [
        sample("cores", text=cores.format(100)),
        sample("processes", value=processes),
        sample("threads", value=[[7, 7, 0, 1, 1, 100.0, 1, 2, 0], [8, 8, 0, 1, 1, 9.0, 1, 1, 1]]),
        sample("threads", value=[[7, 7, 0, 1, 1, 500.0, 3, 4, 1], [7, 70, 0, 1, 1, None, None, None, None]]),
        sample("cores", text=cores.format(300)),
    ]
    (tmp_path / "cpu.jsonl").write_text("".join(lines))
    assert observe.busy_seconds(tmp_path) == {0: 2.0}
    assert observe.usage(tmp_path, "testbed.loadgen") == {"client": observe.Usage(0.5, 3, 4, 1)}
    assert observe.hardware_events(tmp_path) == {}
    lines = [sample("cache-misses", value={"0": [count, 1, 1], "1": [2 * count, 1, 1]}) for count in (10, 30)]
    (tmp_path / "perf.jsonl").write_text("".join(lines))
    assert observe.hardware_events(tmp_path) == {"cache-misses": 60}


def test_each_kind_of_steering_is_a_placement() -> None:
    experiment = resolve(experiment_class("flow-affinity"), None, ["process_cpus=client:1,server:0", "rps_cpus=0-1"])
    none, rps, rfs, aware = (experiment.placement(point) for point in experiment.points(["kernel-mptcp"])[:4])
    assert (none.rps_cpus, none.rfs_entries) == ("", 0)
    assert (rps.rps_cpus, rps.rfs_entries) == ("0-1", 0)
    assert (rfs.rps_cpus, rfs.rfs_entries) == ("0-1", 4096)
    assert (aware.rps_cpus, aware.rfs_entries) == ("client:1,server:0", 0)
    with pytest.raises(LabError, match="process_cpus: must pin client and server"):
        resolve(experiment_class("flow-affinity"), None, ["process_cpus=client:1"])


# Interfaces of names of their own: the kernel traces the whole machine, other labs too.
TOPOLOGY = """{#- summary: two paths #}
name: affinity
hosts:
  - name: client
  - name: server
links:
{%- for i in (1, 2) %}
  - name: path{{ i }}
    ends:
      - {host: client, interface: NAME-c{{ i }}, address: 10.0.{{ i }}.1/24}
      - {host: server, interface: NAME-s{{ i }}, address: 10.0.{{ i }}.2/24}
{%- endfor %}
"""


@pytest.mark.root
@pytest.mark.alone
@pytest.mark.kernel
@pytest.mark.skipif(len(online_cpus()) < 2, reason="needs two processors")
def test_flow_steering_takes_both_subflows_to_the_applications_core(tmp_path: Path) -> None:
    before = RFS_TABLE.read_text()
    unique, (home, away) = f"n{os.getpid()}", online_cpus()[:2]
    (tmp_path / "affinity.yaml.j2").write_text(TOPOLOGY.replace("NAME", unique))
    said = run_inside(f"""
        from pathlib import Path
        from testbed.collectors.collection import Wanted
        from testbed.placement import Placement, observe
        from testbed.stacks import create
        from testbed.stacks.measure import BulkLoad, bulk
        watch = Wanted(("tracepoints+events=net:netif_receive_skb",))
        # Packets go to the core that the application is not on, unless RFS knows better.
        cores, wrong = "client:{home},server:{away}", "client:{away},server:{home}"
        kinds = {{
            "without": {{"rps_cpus": wrong}},
            "rfs": {{"rps_cpus": wrong, "rfs_entries": 4096}},
            "aware": {{"rps_cpus": cores}},
        }}
        with Lab(load_topology("{tmp_path}/affinity.yaml.j2", {{}})) as lab:
            stack = create("kernel-mptcp")
            stack.prepare(lab)
            for kind, steering in kinds.items():
                place = Placement(process_cpus=cores, **steering)
                directory = Path("{tmp_path}") / kind
                directory.mkdir()
                with lab.placed(place):
                    load = BulkLoad("download", limit_bytes=300_000_000)
                    measured = bulk(lab, stack, load, directory, placement=place, collect=watch)
                packets = observe.received_packets(directory / "collected")
                counts = [packets["client", f"{unique}-c{{path}}"] for path in (1, 2)]
                say([measured.problems, [count[{home}] / sum(count.values()) for count in counts]])
    """)
    assert [problems for problems, _ in said] == [[], [], []]
    without, rfs, aware = (shares for _, shares in said)
    assert max(without) < 0.1
    assert min(aware) > 0.9
    if rfs_follows_mptcp():
        assert min(rfs) > 0.9
    assert RFS_TABLE.read_text() == before
