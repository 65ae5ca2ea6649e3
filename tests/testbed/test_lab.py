"""Labs on real packets: links are as asked or the run stops; every path is used; what stops, ends."""

import json
import subprocess
import sys

import pytest

from tests.testbed.lab_run import ROOT, run_inside

pytestmark = pytest.mark.root

TRAFFIC = """
def iperf3(host, peer, address, *prefix):
    server = peer.popen([*prefix, "iperf3", "-s", "-1", "--forceflush"], stdout=-1, text=True)
    while "listening" not in server.stdout.readline():
        pass
    before = peer.byte_counts()
    done = json.loads(host.run([*prefix, "iperf3", "-c", address, "-t", "1", "-J"]).stdout)
    after = peer.byte_counts()
    server.communicate()
    received = {name: after[name][0] - before[name][0] for name in peer.interfaces}
    return {"mbps": done["end"]["sum_received"]["bits_per_second"] / 1e6, "received": received}

def counters(host):
    lines = host.run(["nstat", "-asz"]).stdout.splitlines()[1:]
    return {line.split()[0]: int(line.split()[1]) for line in lines}
"""

MEASURE = (
    TRAFFIC
    + """
import dataclasses
with Lab(load_topology(TOPOLOGY)) as lab:
    client, server = lab.hosts["client"], lab.hosts["server"]
    result = {"calibration": [dataclasses.asdict(one) | {"ok": one.ok} for one in lab.calibrate()]}
    lab.set_congestion_control("cubic")
    lab.configure_mptcp()
    lab.configure_mptcp()
    result["tcp"] = iperf3(client, server, server.addresses[0])
    result["mptcp"] = iperf3(client, server, server.addresses[0], "mptcpize", "run")
    result["counters"] = counters(client)
    if BOND:
        lab.configure_bond()
        result["bond"] = iperf3(client, server, lab.bond_address("server"))
        result["other"] = client.run(["ping", "-c1", "-W1", server.addresses[1]], check=False).returncode
        lab.remove_bond()
        result["after"] = client.run(["ping", "-c1", "-W1", server.addresses[1]], check=False).returncode
    result["about"] = lab.describe()
    say(result)
"""
)


@pytest.fixture(scope="module")
def direct():
    (said,) = run_inside(MEASURE.replace("TOPOLOGY", "'two-paths'").replace("BOND", "True"))
    return said


@pytest.fixture(scope="module")
def routed():
    (said,) = run_inside(MEASURE.replace("TOPOLOGY", "'two-paths-routed'").replace("BOND", "False"))
    return said


def shares(measured):
    received = measured["received"].values()
    return [number / sum(received) for number in received]


@pytest.mark.alone
def test_every_direction_of_every_link_is_calibrated(direct, routed):
    for lab, links in ((direct, 2), (routed, 4)):
        assert len(lab["calibration"]) == 2 * links
        assert all(one["ok"] for one in lab["calibration"])
    assert {one["direction"] for one in direct["calibration"]} == {"client->server", "server->client"}


@pytest.mark.alone
def test_tcp_gets_the_rate_of_one_path(direct, routed):
    for lab in (direct, routed):
        # 1448 bytes of payload in a frame of 1514: at most 47.8 Mbit/s.
        assert 40 < lab["tcp"]["mbps"] < 48.5
        assert max(shares(lab["tcp"])) > 0.99


@pytest.mark.alone
@pytest.mark.kernel
def test_kernel_mptcp_uses_every_path(direct, routed):
    for lab, joins_per_connection in ((direct, 1), (routed, 3)):
        assert lab["mptcp"]["mbps"] > 75
        assert min(shares(lab["mptcp"])) > 0.35
        counted = lab["counters"]
        # iperf3 makes two connections: control and data.
        assert counted["MPTcpExtMPCapableSYNACKRX"] == 2
        assert counted["MPTcpExtMPJoinSynAckRx"] == 2 * joins_per_connection
        assert counted["MPTcpExtMPCapableFallbackSYNACK"] == counted["MPTcpExtMPCapableFallbackACK"] == 0


@pytest.mark.alone
def test_the_bond_takes_turns_packet_by_packet(direct):
    assert direct["bond"]["mbps"] > 75
    assert min(shares(direct["bond"])) > 0.45


@pytest.mark.alone
def test_the_paths_own_addresses_return_after_the_bond(direct):
    assert direct["after"] == 0
    if direct["about"]["bond"] is None or direct["about"]["bond"]["kind"] == "nft":
        assert direct["other"] == 0


@pytest.mark.alone
def test_the_description_is_what_the_system_says(direct):
    about = direct["about"]
    assert about["topology"]["name"] == "two-paths"
    for link in about["links"]:
        for shaping in link["shaping"].values():
            assert (shaping["rate_bps"], shaping["queue_bytes"]) == (50_000_000, 100_000)
        for offloads in link["offloads"].values():
            assert (offloads["tso"], offloads["gso"], offloads["gro"]) == ("off", "off", "on")
    assert {host["net.ipv4.tcp_congestion_control"] for host in about["sysctls"].values()} == {"cubic"}


@pytest.mark.alone
def test_a_link_that_is_not_as_asked_stops_the_run():
    said = run_inside(
        """
        from testbed.host.commands import run
        from testbed import calibrate
        from testbed.errors import LabError
        calibrate._PAUSES_S = (0.0,)  # what is wrong stays so
        with Lab(load_topology("two-paths", {"paths": 1})) as lab:
            for change in ("replace dev path1-b root tbf rate 40mbit burst 15140 limit 100000",
                           "replace dev path1-b root tbf rate 60mbit burst 15140 limit 100000",
                           "replace dev path1-b root tbf rate 50mbit burst 15140 limit 60000",
                           "delete dev path1-b root"):
                run(["tc", "qdisc", *change.split()])
                try:
                    lab.calibrate()
                    say("nothing noticed")
                except LabError as error:
                    say([error.exit_code, error.message])
        """
    )
    for code, message in said:
        assert code == 1
        assert message.startswith("link path1, client->server: asked for ")
    measured = [float(message.partition("measured ")[2].split()[0]) for _, message in said]
    # The second link is offered 15 % more than was asked.
    assert measured[:2] == pytest.approx([40, 57.5], rel=0.03)
    assert measured[2] < 64_000  # less where the machine is late
    assert len(said) == 4


def test_a_refusal_of_the_kernel_stops_the_start_and_names_the_link():
    said = run_inside(
        """
        import os
        from testbed.errors import LabError
        from testbed.links import shaping
        run = shaping.run
        for old, new in (("tbf rate", "none-such rate"), ("burst", "mtu 1 burst")):
            shaping.run = lambda argv, **options: run(" ".join(argv).replace(old, new).split(), **options)
            try:
                with Lab(load_topology("two-paths")):
                    say("nothing noticed")
            except LabError as error:
                say([error.exit_code, error.message, os.listdir("/sys/class/net")])
        """
    )
    code, message, left = said[0]
    assert code == 3
    assert message.startswith("link path1: path1-a: this kernel cannot shape links with tbf: ")
    assert left == ["lo"]


def test_shaping_that_the_kernel_changed_is_noticed():
    (said,) = run_inside(
        """
        from testbed.errors import LabError
        from testbed.links.shaping import Shaping, read_back, verify
        with Lab(load_topology("two-paths")) as lab:
            real = read_back("path2-a")
            for asked in (Shaping(60_000_000, real.queue_bytes, real.burst_bytes),
                          Shaping(real.rate_bps, 90_000, real.burst_bytes)):
                try:
                    verify("path2-a", asked)
                except LabError as error:
                    print(error.message, file=sys.stderr)
                    continue
                sys.exit("nothing noticed")
            verify("path2-a", real)
            say(lab.hosts["client"].interfaces)
        """
    )
    assert said == ["client-eth1", "client-eth2"]


WIRES = [
    ({"rate": "200 Mbit/s", "queue": "300 kB"}, "off", False),
    ({"rate": "none"}, "off", False),
    ({"rate": "none", "wire": "super-segments"}, "on", True),
]


@pytest.mark.alone
@pytest.mark.parametrize(("parameters", "segmentation_offload", "super_segments"), WIRES)
def test_what_crosses_a_link_is_what_its_wire_says(parameters, segmentation_offload, super_segments):
    (said,) = run_inside(
        f"parameters = {parameters}\n"
        + TRAFFIC
        + """
with Lab(load_topology("two-paths", parameters | {"paths": 1})) as lab:
    client, server = lab.hosts["client"], lab.hosts["server"]
    capture = client.popen(["tcpdump", "-i", "client-eth1", "-nnq", "--direction=out", "-c", "20", "greater", "1515"],
                           stdout=-1, stderr=-1, text=True)
    while "listening" not in capture.stderr.readline():
        pass
    result = iperf3(client, server, server.addresses[0])
    capture.terminate()
    frames = [line for line in capture.communicate()[0].splitlines() if line]
    say([result["mbps"], lab.describe()["links"][0]["offloads"]["client-eth1"]["tso"], frames])
"""
    )
    mbps, offload, frames = said
    assert mbps > 150
    assert offload == segmentation_offload
    assert bool(frames) == super_segments, frames


@pytest.mark.alone
def test_received_packets_are_merged_behind_the_shaper_and_counted_as_on_the_wire():
    said = run_inside(
        TRAFFIC
        + """
def received():
    return lab.hosts["server"].byte_counts()["server-eth1"][0]

with Lab(load_topology("two-paths", {"paths": 1, "rate": "1 Gbit/s", "queue": "1 MB"})) as lab:
    client, server = lab.hosts["client"], lab.hosts["server"]
    capture = server.popen(["tcpdump", "-i", "server-eth1", "-nnq", "--direction=in", "-c", "1", "greater", "1515"],
                           stdout=-1, stderr=-1, text=True)
    while "listening" not in capture.stderr.readline():
        pass
    before = received()
    iperf3(client, server, server.addresses[0])
    capture.terminate()
    merged = [line for line in capture.communicate()[0].splitlines() if line]
    say([merged, received() - before, lab.link_counters()["path1"]["client->server"]["delivered_bytes"]])
"""
    )
    ((merged, received, delivered),) = said
    assert merged
    # What the shaper passed before: a few packets of ARP.
    assert received == pytest.approx(delivered, abs=500)


def test_programs_in_hosts():
    said = run_inside(
        """
        from testbed.errors import LabError
        with Lab(load_topology("two-paths")) as lab:
            client = lab.hosts["client"]
            say(client.run(["cat"], input="through").stdout)
            for argv, options in ((["sh", "-c", "echo no >&2; exit 4"], {}), (["sleep", "9"], {"timeout": 0.2}),
                                  (["no-such-program"], {})):
                try:
                    client.run(argv, **options)
                except LabError as error:
                    say(error.message)
            say(client.run(["false"], check=False).returncode)
            stubborn = client.popen(["sh", "-c", "trap '' TERM; echo started; while :; do sleep 0.1; done"], stdout=-1)
            stubborn.stdout.readline()
        say(stubborn.poll())
        with Lab(load_topology("two-paths")) as lab:
            say(sorted(lab.hosts))
        """
    )
    assert said[:3] == [
        "through",
        "client: sh -c echo no >&2; exit 4: no",
        "client: sleep 9: did not end within 0.2 s",
    ]
    assert said[3].startswith("client: no-such-program: ")
    assert said[4:] == [1, -9, ["client", "server"]]


def test_settings_of_hosts():
    said = run_inside(
        """
        from testbed.errors import LabError
        from testbed.host.sysctls import temporarily
        name = "net.ipv4.tcp_sack"
        with Lab(load_topology("two-paths")) as lab:
            client, server = lab.hosts["client"], lab.hosts["server"]
            with temporarily(client, {name: "0"}):
                say([client.sysctl(name), server.sysctl(name)])
            say(client.sysctl(name))
            for action in (lambda: lab.set_congestion_control("cubik"), lambda: client.set_sysctl("net.none", "1"),
                           lambda: client.set_sysctl("net.ipv4.tcp_congestion_control", "cubik")):
                try:
                    action()
                except LabError as error:
                    say(error.message)
            before = inside.machine.sysctl("net.ipv4.tcp_allowed_congestion_control").split()
            lab.set_congestion_control("reno")
            say(client.sysctl("net.ipv4.tcp_congestion_control"))
        """
    )
    assert said[:2] == [["0", "1"], "1"]
    assert said[2].startswith("unknown congestion control 'cubik', did you mean cubic? allowed: ")
    assert said[3].startswith("client: net.none: cannot set '1': ")
    assert said[4].startswith("client: net.ipv4.tcp_congestion_control: cannot set 'cubik': ")
    assert said[5] == "reno"


def test_the_bond_wants_direct_paths():
    (said,) = run_inside(
        """
        from testbed.errors import LabError
        with Lab(load_topology("two-paths-routed")) as lab:
            try:
                lab.configure_bond()
            except LabError as error:
                say(error.message)
        """
    )
    assert said == (
        "topology two-paths-routed: link access1 is not between client and server: only direct paths can be bonded"
    )


@pytest.mark.kernel
def test_both_ip_versions_on_every_path():
    """At once, with no address looked for elsewhere first; and the source says which path."""
    *ways, endpoints = run_inside(
        """
with Lab(load_topology("dual-stack", {"rate": "none"})) as lab:
    client, server, router = (lab.hosts[name] for name in ("client", "server", "router"))
    lab.configure_mptcp()
    endpoints = client.run(["ip", "mptcp", "endpoint"]).stdout
    for addresses in ("addresses", "addresses6"):
        for number, ours in enumerate(getattr(client, addresses), start=1):
            for theirs in getattr(server, addresses):
                before = router.byte_counts()[f"router-eth{number}"][0]
                client.run(["ping", "-c1", "-W1", "-I", ours, theirs])
                say([ours, theirs, router.byte_counts()[f"router-eth{number}"][0] > before])
    say(endpoints)
"""
    )
    assert len(ways) == 8
    assert all(by_its_own_interface for _, _, by_its_own_interface in ways), ways
    for address in {ours for ours, _, _ in ways}:
        assert f"{address} id" in endpoints


def calibrate(*settings):
    command = [sys.executable, "-m", "testbed", "calibrate", "two-paths", "--quick", "--json"]
    arguments = [word for setting in ("paths=1", *settings) for word in ("--set", setting)]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.alone
def test_calibration_as_a_command():
    done = calibrate("rate=20 Mbit/s", "queue=60 packets", "delay=5 ms")
    assert done.returncode == 0, done.stderr
    for one in json.loads(done.stdout):
        assert (one["link"], one["kind"], one["ok"]) == ("path1", "emulator", True)
        assert one["measured_bps"] == pytest.approx(20_000_000, rel=0.02)
        assert one["delivery"]["mean_ms"] == pytest.approx(5, abs=0.5)
        assert one["depth"]["measured_bytes"] == pytest.approx(60 * 1514, rel=0.05, abs=3 * 1514)


def test_netem_that_the_kernel_lacks_is_refused():
    if has_netem():
        pytest.skip("this kernel has netem")
    done = calibrate("backend=tc", "delay=5 ms")
    assert done.returncode == 3
    assert done.stderr == (
        "lab: link path1: backend tc needs netem for delay, which this kernel lacks: "
        "use backend: emulator, or add fallback: emulator\n"
    )


def has_netem():
    command = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    return subprocess.run(command, capture_output=True).returncode == 0
