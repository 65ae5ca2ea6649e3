"""Emulated links in a running lab: delay, loss and rate as asked, and nothing goes wrong in silence."""

import pytest

from tests.testbed.lab_run import run_inside

pytestmark = [pytest.mark.root, pytest.mark.alone]

LINKS = """
from testbed.errors import LabError
from testbed.input.validation import validate
from testbed.spec import Topology
def topology(**link):
    ends = [{"host": host, "interface": f"{host}-eth1", "address": f"10.0.1.{i}/24"}
            for i, host in enumerate(("client", "server"), 1)]
    link = {"name": "path1", "ends": ends, **link}
    return validate(Topology, {"name": "t", "hosts": [{"name": "client"}, {"name": "server"}], "links": [link]}, "t")
"""


def test_links_are_as_asked_in_each_direction():
    (said,) = run_inside(
        LINKS
        + """
from dataclasses import asdict
with Lab(topology(rate="20 Mbit/s", queue="60 kB", delay="10 ms", loss="1 %",
                  reverse={"rate": "5 Mbit/s", "delay": "30 ms", "loss": "20 %"})) as lab:
    calibrations = [asdict(one) for one in lab.calibrate()]
    say([calibrations, lab.link_counters()["path1"], lab.describe()["links"][0]["kind"]])
        """
    )
    (there, back), counters, kind = said
    assert kind == "emulator"
    assert [one["asked_bps"] for one in (there, back)] == [20_000_000, 5_000_000]
    assert [one["delivery"]["asked_ms"] for one in (there, back)] == [10, 30]
    assert there["delivery"]["lost"] < 30 < back["delivery"]["lost"]
    for one in (there, back):
        assert one["measured_bps"] == pytest.approx(one["asked_bps"], rel=0.05)
        assert one["delivery"]["mean_ms"] == pytest.approx(one["delivery"]["asked_ms"], abs=2)
    for numbers in counters.values():
        gone = numbers["queue_dropped"] + numbers["lost"]
        assert numbers["offered"] == numbers["delivered"] + gone
        assert numbers["queue_dropped"] > 0
        assert numbers["malformed"] == numbers["overrun"] == numbers["refused"] == 0


def test_the_same_seed_loses_the_same_packets():
    first, again, other = run_inside(
        LINKS
        + """
import re
with Lab(topology(delay="1 ms", loss="10 %")) as lab:
    client = lab.hosts["client"]
    ping = ["ping", "-i", "0.002", "-c", "200", "-W", "1", "10.0.1.2"]
    client.run(["ping", "-c", "4", "-i", "0.01", "-W", "1", "10.0.1.2"], check=False)  # neighbours know each other now
    for seed in (1, 1, 2):
        lab.seed_links(seed)
        say(re.findall("icmp_seq=([0-9]+)", client.run(ping, check=False).stdout))
        """
    )
    assert 120 < len(first) < 190
    assert first == again != other


def test_a_schedule_begins_when_it_is_told_and_takes_the_carrier():
    said = run_inside(
        LINKS
        + """
ping = ["ping", "-c", "1", "-W", "0.1", "-M", "do", "-s"]
with Lab(topology(delay="1 ms", mtu=1200, schedule=[{"at": "200 ms", "state": "down", "carrier": "client"},
                                                    {"at": "400 ms", "state": "up"}])) as lab:
    def carriers():
        return ["LOWER_UP" in json.loads(host.run(["ip", "-j", "link", "show", f"{name}-eth1"]).stdout)[0]["flags"]
                for name, host in lab.hosts.items()]
    client = lab.hosts["client"]
    say([client.run([*ping, size, "10.0.1.2"], check=False).returncode for size in ("1172", "1173")])
    say(carriers())
    began_ns = lab.start_schedules()
    for state in (False, True):
        while carriers()[0] != state:
            pass
        say([(time.monotonic_ns() - began_ns) / 1e6, carriers()])
        lost = client.run([*ping, "8", "10.0.1.2"], check=False).returncode
        while state and lost:  # the address of the other end has to be asked for anew
            lost = client.run([*ping, "8", "10.0.1.2"], check=False).returncode
        say(lost)
    lab.start_schedules()
    while carriers()[0]:
        pass
    lab.seed_links(1)
    while not carriers()[0]:
        pass
    numbers = lab.link_counters()["path1"]["client->server"]
    say([numbers["offered"] - numbers["delivered"] - numbers["down"], numbers["refused"]])
        """
    )
    assert said[0] == [0, 1]
    assert said[1] == [True, True]
    for (at_ms, states), lost, due_ms, state in zip(said[2:6:2], said[3:6:2], (200, 400), (False, True), strict=True):
        assert due_ms <= at_ms < due_ms + 100
        assert states == [state, True]
        assert bool(lost) == (not state)
    assert said[6] == [0, 0]


def test_an_emulator_that_ends_stops_the_run():
    said = run_inside(
        LINKS
        + """
with Lab(topology(delay="1 ms")) as lab:
    lab._emulation._process.kill()
    for action in (lab.link_counters, lambda: lab.seed_links(1)):
        try:
            action()
        except LabError as error:
            say([error.exit_code, error.message])
from testbed.links.emulator import control
control.wire_ends = lambda link: ("path1-a", "path1-c")
try:
    with Lab(topology(delay="1 ms")) as lab:
        say("nothing noticed")
except LabError as error:
    say([error.exit_code, error.message])
        """
    )
    assert said[0] == said[1] == [1, "the link emulator has ended: exit code -9"]
    code, message = said[2]
    assert code == 1
    assert message.startswith("the link emulator has ended: cannot open the links' interfaces: ")


def test_a_super_segment_is_taken_for_the_packets_it_stands_for():
    (said,) = run_inside(
        LINKS
        + """
from hashlib import sha256
from testbed.stacks.counters import link_problems
RECEIVE = '''
import hashlib, socket
listener = socket.create_server(("10.0.1.2", 7))
print("listening", flush=True)
with listener.accept()[0].makefile("rb") as stream:
    print(hashlib.sha256(stream.read()).hexdigest())
'''
SEND = "import socket, sys; socket.create_connection(('10.0.1.2', 7)).sendall(sys.stdin.buffer.read())"
with Lab(topology(delay="1 ms")) as lab:
    client, server = lab.hosts["client"], lab.hosts["server"]
    client.run(["ethtool", "-K", "client-eth1", "tso", "on", "gso", "on"])
    receiver = server.popen([sys.executable, "-c", RECEIVE], stdout=-1, text=True)
    receiver.stdout.readline()
    data = "0123456789abcdef" * 125_000
    client.run([sys.executable, "-c", SEND], input=data)
    received = receiver.communicate()[0].strip()
    say([received == sha256(data.encode()).hexdigest(), lab.link_counters()["path1"]["client->server"],
         link_problems(lab.link_counters())])
        """
    )
    intact, numbers, problems = said
    assert intact
    assert problems == []
    assert numbers["split"] >= 20
    assert numbers["offered"] >= numbers["delivered"] > 2_000_000 / 1460
    assert numbers["delivered_bytes"] <= 1514 * numbers["delivered"]
