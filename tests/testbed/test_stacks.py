"""Stacks under test without a lab: names, parsers of real output, and diagnoses that must name the trouble."""

import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from mptcp_stack.build import running
from testbed import stacks
from testbed.errors import LabError, Unsupported
from testbed.host.process import Program
from testbed.loadgen import apache, content
from testbed.loadgen.options import Endpoint
from testbed.stacks import counters, iperf, measure
from testbed.stacks.base import Evidence, StackUnderTest, common_build
from testbed.stacks.buffers import lines, with_buffer
from testbed.stacks.counters import HostCounters
from testbed.stacks.kernel_tcp import parse_congestion
from testbed.stacks.mptcp_diagnosis import fallback_problems, join_problems
from testbed.stacks.proxied import proxied

DATA = Path(__file__).parent / "data"


def data(name: str) -> str:
    return (DATA / name).read_text()


# --- registry ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", stacks.names())
def test_every_stack_can_be_made(name):
    stack = stacks.create(name)
    assert stack.name == name
    assert stack.label
    assert stack.supports("http")
    assert stacks.create(name, congestion="reno").congestion == stacks.create(f"{name}@reno").congestion == "reno"
    assert stacks.create(f"{name}@reno").name == name


def test_settings_follow_the_name():
    stack = stacks.create("python-mptcp+scheduler=mine:Own+sack=off+congestion=reno")
    assert stack.congestion == "reno"
    host = SimpleNamespace(stack_addresses=["10.0.1.101/24@eth1"])
    options = stack.module_options(SimpleNamespace(hosts={"client": host}), "client")
    given = [after for option, after in itertools.pairwise(options) if option == "--set"]
    assert given == ["scheduler=mine:Own", "sack=off", "congestion=reno"]


def test_a_build_is_chosen_by_the_environment_of_the_programs():
    lab = SimpleNamespace(hosts={"client": SimpleNamespace(stack_addresses=["10.0.1.101/24@eth1"])})
    pure, plain = (stacks.create(f"python-tcp{more}+sack=off") for more in ("+build=pure", ""))
    command = pure.command(lab, "client", "testbed.loadgen.bulk")
    assert command == ["env", "MPTCP_LAB_PURE=1", *plain.command(lab, "client", "testbed.loadgen.bulk")]
    assert (pure.build, plain.build) == ("pure", running())
    with pytest.raises(LabError, match="stack python-tcp: setting 'build=fast': must be build=pure, or left out"):
        stacks.create("python-tcp+build=fast")


def test_behind_a_proxy_a_stack_has_its_settings_and_build():
    lab = SimpleNamespace(hosts={"client": SimpleNamespace(stack_addresses=["10.0.1.101/24@eth1"])})
    stack = proxied(stacks.create("python-mptcp@olia+sack=off+build=pure"), "single-path")
    command = stack.command(lab, "client", "testbed.loadgen.bulk")
    assert command[:2] == ["env", "MPTCP_LAB_PURE=1"]
    given = [after for option, after in itertools.pairwise(command) if option in ("--congestion", "--set")]
    assert given == ["olia", "path_manager=handover", "sack=off"]


@pytest.mark.parametrize(
    ("reports", "build"),
    [([None, {}], None), ([{"build": "pure"}, None], "pure"), ([{"build": "pure"}, {"build": "compiled"}], "mixed")],
)
def test_the_build_of_a_measurement_is_what_its_programs_say(reports, build):
    assert common_build(reports) == build


class OwnStack(stacks.create("kernel-tcp").__class__):  # type: ignore[misc]
    name = "own"


def test_a_users_own_class(monkeypatch):
    monkeypatch.setitem(sys.modules, "users_module", SimpleNamespace(OwnStack=OwnStack, other=int))
    assert isinstance(stacks.create("users_module:OwnStack"), StackUnderTest)
    with pytest.raises(LabError, match="other is not a StackUnderTest"):
        stacks.create("users_module:other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kernel", r"unknown stack 'kernel'.*allowed: kernel-tcp, kernel-mptcp, .*module:Class"),
        ("nowhere:Stack", "No module named 'nowhere'"),
        ("testbed.stacks:Nothing", "Nothing"),
        (":x", "stack ':x'"),
        (
            "kernel-tcp+sack=off",
            "stack kernel-tcp: unknown setting 'sack=off'; allowed: syn_cookies=overflow, syn_cookies=off, "
            "syn_cookies=always",
        ),
        ("python-mptcp+sack=no+sak=off", "stack python-mptcp: setting 'sak': no such setting; there are"),
    ],
)
def test_a_wrong_name_gives_one_line(name, message):
    with pytest.raises(LabError, match=message) as caught:
        stacks.create(name)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


def test_real_programs_are_not_for_our_stack():
    with pytest.raises(Unsupported, match="python-mptcp carries our own programs only, not ab"):
        stacks.create("python-mptcp").program(["ab"])
    with pytest.raises(Unsupported, match="does not carry iperf3; it can: bulk, http"):
        stacks.create("python-tcp").require("iperf3")


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabError, match="program mptcpize is missing: install the package mptcpize"):
        stacks.create("kernel-mptcp").program(["ab"])
    with pytest.raises(LabError, match="program ab is missing: install the package apache2-utils"):
        apache.client_command(Endpoint("10.0.0.1", 80), 1, 1, 1, 1.0, Path("x"))


# --- ApacheBench ---------------------------------------------------------------------------------------------


def test_abs_report_under_our_keys():
    result = apache.parse_result(data("ab-report.txt"), data("ab-percentiles.csv"), 30_000, 1000)
    assert (result["succeeded"], result["failed"], result["failures"]) == (1000, 0, {})
    assert result["requests_per_s"] == pytest.approx(8070.70, abs=0.01)
    assert result["duration_s"] == pytest.approx(0.124, abs=0.0005)
    assert result["received_bytes"] == 30_120_000
    total = result["latency_ms"]["total"]
    assert (total["min"], total["p98"], total["p99"], total["p100"]) == (5.571, 16.359, 16.484, 16.513)
    assert total["mean"] == 12
    assert result["latency_ms"]["connect"] == {"min": 0, "mean": 2, "sd": 1.2, "p50": 1, "p100": 6}


@pytest.mark.parametrize(
    ("report", "size", "failures"),
    [
        ("ab-report-404.txt", 0, {"status": 10}),
        ("ab-report-refused.txt", 100, {"reset": 10, "malformed": 5}),
        ("ab-report.txt", 29_999, {"length": 1000}),
    ],
)
def test_abs_failures_count(report, size, failures):
    result = apache.parse_result(data(report), data("ab-percentiles.csv"), size, 1000)
    assert result["failures"] == failures
    assert result["succeeded"] == 0
    assert measure.failure_problems(result)


def test_a_broken_report_is_refused():
    with pytest.raises(ValueError, match="Complete requests"):
        apache.parse_result("Benchmarking...", "", 1, 1)


def test_abs_progress():
    assert apache.parse_progress("Completed 100 requests\nCompleted 200 requests\nComple") == 200
    assert apache.parse_progress("") == 0


def test_apaches_files(tmp_path):
    configuration = apache.write_server_files(tmp_path, Endpoint("0.0.0.0", 8080), [10, 2000], 100)
    assert (tmp_path / "htdocs/bytes/2000").read_bytes() == content.prefix(2000)
    text = configuration.read_text()
    assert "AcceptFilter http none" in text
    assert "Listen 0.0.0.0:8080" in text
    workers = next(line for line in text.splitlines() if line.startswith("MaxRequestWorkers"))
    assert int(workers.split()[1]) >= 100


# --- iperf3 --------------------------------------------------------------------------------------------------


def test_iperf3s_numbers_and_errors():
    good = '{"end": {"sum_received": {"bytes": 250, "seconds": 2.0, "bits_per_second": 1000.0}}}'
    assert iperf.parse_result(good, "upload")["throughput_bps"] == 1000
    with pytest.raises(LabError, match="unable to connect"):
        iperf.parse_result('{"start": {}, "error": "unable to connect"}', "upload")
    with pytest.raises(LabError, match="no result"):
        iperf.parse_result("", "upload")


# --- counters ------------------------------------------------------------------------------------------------


def test_protocol_counters_have_nstats_names():
    text = "Tcp: ActiveOpens RetransSegs\nTcp: 5 -1\nMPTcpExt: MPCapableSYNRX\nMPTcpExt: 7\n"
    assert counters.parse_protocols(text) == {"TcpActiveOpens": 5, "TcpRetransSegs": -1, "MPTcpExtMPCapableSYNRX": 7}


def test_this_machines_counters_can_be_read():
    reading = counters.read_process(1)
    assert "TcpActiveOpens" in reading.protocols
    assert reading.interfaces["lo"].keys() == {"rx_bytes", "tx_bytes"}


def test_a_difference_leaves_out_zeros_and_gauges():
    before = HostCounters({"A": 1, "B": 2, "TcpCurrEstab": 1}, {"eth0": {"tx_bytes": 10, "rx_bytes": 0}})
    after = HostCounters({"A": 1, "B": 5, "TcpCurrEstab": 9, "C": 4}, {"eth0": {"tx_bytes": 30, "rx_bytes": 0}})
    assert after.since(before) == HostCounters({"B": 3, "C": 4}, {"eth0": {"tx_bytes": 20, "rx_bytes": 0}})


def test_congestion_from_ss():
    output = (
        "0 0 10.0.0.2:80 10.0.0.1:40000\n\t ts sack cubic wscale:7,7 rto:201 rtt:0.1/0.05\n"
        "0 0 10.0.0.2:80 10.0.0.1:40001\n\t bbr wscale:7,7 rto:201\n"
        "0 0 10.0.0.2:80 10.0.0.1:40002\n\t ts sack cubic wscale:7,7 rto:201\n"
    )
    assert parse_congestion(output) == {"cubic": 2, "bbr": 1}


# --- diagnoses -----------------------------------------------------------------------------------------------


def mib(**values: int) -> dict[str, int]:
    return {f"MPTcpExt{name}": value for name, value in values.items()}


def test_no_problem_without_fallback():
    assert fallback_problems(mib(MPCapableSYNTX=5), mib(MPCapableSYNRX=5, MPCapableACKRX=5), 5) == []


@pytest.mark.parametrize(
    ("client", "server", "words"),
    [
        (mib(), mib(), "no connection asked for MPTCP"),
        (mib(MPCapableSYNTX=5), mib(MPCapableSYNRX=3), "only 3 of 5 connections reached the server"),
        (mib(MPCapableFallbackSYNACK=2), mib(MPCapableSYNRX=5), "2 fallbacks to plain TCP seen by the client"),
        (mib(), mib(MPCapableSYNRX=5, MPCapableFallbackACK=1), "the third ACK came without MP_CAPABLE"),
        (mib(MPCapableSYNTXDisabled=1), mib(MPCapableSYNRX=5), "blackhole_timeout"),
    ],
)  # fmt: skip
def test_fallbacks_are_named(client, server, words):
    assert words in " ".join(fallback_problems(client, server, 5))


JOINED = (mib(AddAddr=5, MPJoinSynTx=5, MPJoinSynAckRx=5), mib(AddAddrTx=5, MPJoinSynRx=5, MPJoinAckRx=5))


def test_no_problem_when_all_joined():
    assert join_problems(*JOINED, expected=5) == []


@pytest.mark.parametrize(
    ("client", "server", "words"),
    [
        (mib(), mib(), "no second subflow: address never announced"),
        (mib(), mib(AddAddrTx=5), "the announcement (ADD_ADDR) was lost"),
        (mib(AddAddr=5), mib(AddAddrTx=5), "limit 0, or no route"),
        (mib(AddAddr=5, AddAddrDrop=5), mib(AddAddrTx=5), "dropped ADD_ADDR"),
        (mib(AddAddr=5, MPJoinSynTx=5, MPJoinSynTxConnectErr=5), mib(AddAddrTx=5), "route missing"),
        (mib(AddAddr=5, MPJoinSynTx=5), mib(AddAddrTx=5), "SYN lost, or its MP_JOIN stripped"),
        (mib(AddAddr=5, MPJoinSynTx=5), mib(AddAddrTx=5) | {"TcpExtEmbryonicRsts": 5}, "subflow: MP_JOIN stripped"),
        (mib(), mib(), "or the path managers are in user space and had no orders"),
        (mib(MPJoinSynTx=5), mib(MPJoinSynRx=5), "join reset: no SYN/ACK"),
        (mib(MPJoinSynTx=5), mib(MPJoinSynRx=5, MPJoinRejected=5), "join reset: the server's limit"),
        (mib(MPJoinSynTx=5), mib(MPJoinSynRx=5, MPJoinNoTokenFound=5), "no connection with the token"),
        (mib(MPJoinSynTx=5, MPJoinSynAckRx=5), mib(MPJoinSynRx=5), "third ACK lost"),
        (mib(MPJoinSynTx=5, MPJoinSynAckRx=5), mib(MPJoinSynRx=5, MPJoinAckRx=2), "only 2 of 5"),
    ],
)
def test_missing_joins_are_explained(client, server, words):
    problems = join_problems(client, server, expected=5)
    assert len(problems) == 1
    assert words in problems[0]


# --- verdicts ------------------------------------------------------------------------------------------------


def lab(paths: int = 2) -> SimpleNamespace:
    interfaces = [f"eth{number}" for number in range(paths)]
    addresses = [f"10.0.{number}.1" for number in range(paths)]
    host = SimpleNamespace(interfaces=interfaces, addresses=addresses)
    return SimpleNamespace(hosts=dict.fromkeys(("client", "server"), host))


def counted(client: dict[str, int], server: dict[str, int], *sent: int) -> dict[str, HostCounters]:
    paths = {f"eth{number}": {"tx_bytes": value, "rx_bytes": 0} for number, value in enumerate(sent)}
    return {"client": HostCounters(client, {}), "server": HostCounters(server, paths)}


EVIDENCE = Evidence(5, True, Counter(cubic=10))


def test_kernel_tcp_must_be_tcp_and_cubic():
    stack = stacks.create("kernel-tcp")
    assert stack.verify(lab(), counted({}, {}), EVIDENCE) == []
    assert "asked for MPTCP" in stack.verify(lab(), counted({}, mib(MPCapableSYNRX=1)), EVIDENCE)[0]
    wrong = stack.verify(lab(), counted({}, {}), Evidence(5, True, Counter(bbr=3)))
    assert wrong == ["3 connections used congestion control bbr, not cubic as declared"]


def test_a_bond_must_be_even():
    stack = stacks.create("kernel-bond")
    assert stack.verify(lab(), counted({}, {}, 1000, 1010), EVIDENCE) == []
    assert "eth1 carried 20% of the bytes" in " ".join(stack.verify(lab(), counted({}, {}, 800, 200), EVIDENCE))
    assert "no byte" in " ".join(stack.verify(lab(), counted({}, {}, 0, 0), EVIDENCE))


CAPABLE = mib(MPCapableSYNRX=5, MPCapableACKRX=5)


def own(congestion: str, **values: int) -> dict[str, object]:
    return {"congestion": congestion, "counters": mib(**values)}


def test_our_stack_is_judged_by_its_own_counters():
    stack = stacks.create("python-mptcp")
    client, server = JOINED
    good = {
        "client": own("lia") | {"counters": client | mib(MPCapableSYNTX=5)},
        "server": own("lia") | {"counters": server | CAPABLE},
    }
    assert stack.verify(lab(), counted({}, {}), Evidence(5, True, reports=good)) == []
    no_join = good | {"server": own("lia") | {"counters": CAPABLE}}
    assert "no second subflow" in stack.verify(lab(), counted({}, {}), Evidence(5, True, reports=no_join))[0]
    assert stack.verify(lab(), counted({}, {}), Evidence(5, False, reports=no_join)) == []
    silent = stack.verify(lab(), counted({}, {}), Evidence(5, True))
    assert "the client's program did not report its stack" in silent[0]


@pytest.mark.parametrize(("sent", "failure"), [(1000, None), (1001, "short")])
def test_a_download_must_bring_all_that_was_sent(tmp_path, sent, failure):
    def ended(name: str, document: dict) -> Program:
        (tmp_path / name).write_text(json.dumps(document) + "\n")
        return Program(name, SimpleNamespace(), tmp_path / name, tmp_path / name)  # type: ignore[arg-type]

    server = ended("server", {"transfers": [{"sent_bytes": sent, "sent_sha256": None}], "stack": None})
    received = {"direction": "download", "received_bytes": 1000, "received_sha256": None, "failure": None}
    client = ended("client", {**received, "stack": None})
    result, _ = measure._read_bulk(server, client)
    assert result["failure"] == failure


def test_failed_requests_are_problems():
    result = {"requests": 10, "failures": {"content": 2}, "not_started": 3}
    assert measure.failure_problems(result) == [
        "2 of 10 requests failed: what arrived was not what was sent",
        "3 of 10 requests were not made in time",
    ]
    assert measure.failure_problems({"requests": 10, "failures": {}, "not_started": 0, "failure": None}) == []


def test_a_kernel_stack_has_the_settings_of_ours():
    assert stacks.create("kernel-tcp+syn_cookies=off").sysctls == {"net.ipv4.tcp_syncookies": "0"}
    assert stacks.create("kernel-mptcp").sysctls == {"net.ipv4.tcp_syncookies": "1", "net.mptcp.checksum_enabled": "0"}
    assert stacks.create("kernel-mptcp+dss_checksum=on").sysctls["net.mptcp.checksum_enabled"] == "1"
    with pytest.raises(LabError, match="unknown setting 'syn_cookies=no'; allowed: syn_cookies=overflow, "):
        stacks.create("kernel-tcp+syn_cookies=no")


class _Settings:
    def __init__(self) -> None:
        self.values = dict.fromkeys(("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"), "4096 131072 6291456")

    def sysctl(self, name: str) -> str:
        return self.values[name]

    def set_sysctl(self, name: str, value: str) -> None:
        self.values[name] = value


@pytest.mark.parametrize(("size", "bounds"), [(50_000, "4096 100000 100000"), (200_000, "4096 131072 400000")])
def test_buffers_of_kernel_and_ours_are_set_for_a_block(size: int, bounds: str) -> None:
    lab = SimpleNamespace(hosts={"client": _Settings(), "server": _Settings()})
    before = dict(lab.hosts["client"].values)
    with with_buffer(lab, stacks.create("kernel-mptcp"), size):
        assert all(set(host.values.values()) == {bounds} for host in lab.hosts.values())
    assert all(host.values == before for host in lab.hosts.values())
    ours = stacks.create("python-mptcp+penalisation=off")
    with with_buffer(lab, ours, size):
        wanted = {f"send_buffer_bytes={size}", f"receive_buffer_bytes={size}", "penalisation=off"}
        assert set(ours.settings) == wanted
    assert ours.settings == ("penalisation=off",)


def test_the_kernels_tcp_is_measured_over_either_path() -> None:
    assert lines(["kernel-tcp@reno", "python-tcp", "python-mptcp"]) == [
        ("kernel-tcp@reno", "WiFi"), ("kernel-tcp@reno", "3G"), ("python-tcp", "WiFi"), ("python-mptcp", "both"),
    ]  # fmt: skip
