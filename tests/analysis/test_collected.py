"""Parsers of what collectors leave, on raw files of a 60 kB download over two paths with each stack."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.collected import UnreadableFile, collected_directories, load
from analysis.collected.files import deltas

DATA = Path(__file__).parent / "data" / "collected"
KERNEL, OURS = DATA / "kernel-mptcp", DATA / "python-mptcp"
SIZE_BYTES = 60_000
HEADERS = 1.15
"""What headers and acknowledgements may add to the bytes of a path."""


def test_interfaces_count_what_was_transferred() -> None:
    frame = load(KERNEL, "interfaces")
    assert frame["time_s"].min() < 0 < frame["time_s"].max()
    changes = deltas(frame, ["host", "interface"], ["tx_bytes", "rx_bytes"])
    sent = changes[changes["host"] == "server"].groupby("interface")["tx_bytes"].sum()
    assert SIZE_BYTES < sent.sum() < HEADERS * SIZE_BYTES
    assert sent["server-eth1"] > 0
    assert sent["server-eth2"] > 0
    assert (changes["interval_s"] > 0).all()


def test_kernel_subflows() -> None:
    frame = load(KERNEL, "sockets")
    assert set(frame["stack"]) == {"kernel"}
    assert set(frame["local"].str.rpartition(":")[0]) == {"10.0.1.1", "10.0.2.1", "10.0.1.2", "10.0.2.2"}
    last = frame[frame["time_s"] > frame["time_s"].max() - 0.01].set_index(["host", "joined"])
    server = last.loc["server", False]
    assert server["bytes_sent"] == SIZE_BYTES
    assert server["bytes_acked"] <= SIZE_BYTES
    assert 0.001 < server["srtt_s"] < 1
    assert 10 * 1420 <= server["cwnd_bytes"] < 100_000
    assert server["congestion"] == "cubic"
    assert not frame["backup"].any()
    assert frame.groupby(["host", "token"]).ngroups == 2
    assert set(last.loc["client"].loc[True, ["local_id", "remote_id"]]) == {1, 2}
    assert frame["ssthresh_bytes"].isna().any(), "nothing was lost yet"


def test_kernel_connections() -> None:
    frame = load(KERNEL, "sockets", parser="analysis.collected.sockets:connections")
    assert set(frame["subflows"]) == {2}
    assert not frame["fallback"].any()
    assert frame[frame["host"] == "server"]["bytes_sent"].max() == SIZE_BYTES
    tokens = set(load(KERNEL, "sockets")["token"])
    assert set(frame["token"]) == tokens
    assert set(load(KERNEL, "mptcp-monitor")["token"]) == tokens


def test_own_subflows() -> None:
    frame = load(OURS, "sockets")
    assert set(frame["stack"]) == {"ours"}
    server = frame[frame["host"] == "server"]
    assert server.groupby("local")["bytes_sent"].max().sum() == SIZE_BYTES
    assert server.groupby("local")["bytes_sent"].max().min() > 10_000, "both paths carried data"
    assert (server["srtt_s"] > 0.001).all()
    assert list(server.groupby("local")["joined"].first()) == [False, True]


def test_monitor_tells_of_both_subflows() -> None:
    frame = load(KERNEL, "mptcp-monitor")
    client = frame[frame["host"] == "client"].set_index("event")
    assert list(client.index) == ["CREATED", "ESTABLISHED", "ANNOUNCED", "SF_ESTABLISHED", "CLOSED"]
    assert client.loc["SF_ESTABLISHED", "saddr"] == "10.0.2.1"
    assert client.loc["SF_ESTABLISHED", "dport"] == 5001
    assert client["time_s"].is_monotonic_increasing


def test_counters() -> None:
    kernel = load(KERNEL, "nstat")
    client = kernel[kernel["host"] == "client"].groupby("counter")["value"].max()
    assert client["MPTcpExtMPJoinSynAckRx"] == 1
    assert "TcpInSegs" in client
    ours = load(OURS, "nstat")
    assert set(ours["stack"]) == {"kernel", "ours"}
    assert set(ours[ours["stack"] == "ours"]["host"]) == {"client", "server"}


def test_states() -> None:
    frame = load(KERNEL, "socket-states")
    server = frame[frame["host"] == "server"].pivot_table(index="time_s", columns="state", values="sockets")
    assert server["ESTABLISHED"].max() == 2
    assert server["TIME-WAIT"].iloc[-1] == 2
    assert frame["time_s"].nunique() == len(frame.groupby(["time_s", "host"]))
    ours = load(OURS, "socket-states")
    assert ours[ours["host"] == "server"].iloc[-1]["state"] == "TIME-WAIT"


def test_threads_and_cores() -> None:
    threads = load(KERNEL, "cpu")
    server = threads[threads["command"].str.contains("bulk server")]
    assert set(server["host"]) == {"server"}
    assert 0.01 < server["run_s"].max() < 10
    assert server["run_s"].max() == pytest.approx(server["user_s"].max() + server["system_s"].max(), abs=0.05)
    assert server["voluntary_switches"].max() > 0
    assert server["migrations"].max() >= 0
    cores = load(KERNEL, "cpu", parser="analysis.collected.cpu:cores")
    assert set(cores["cpu"]) == {0, 1}
    assert (deltas(cores, ["cpu"], ["idle_s"])["idle_s"] >= 0).all()


def test_packets_of_cores() -> None:
    frame = load(KERNEL, "softnet")
    processed = frame[frame["counter"] == "processed"].groupby("cpu")["value"]
    assert (processed.max() - processed.min()).sum() > 50
    assert {"dropped", "received_rps", "softirq_NET_RX"} <= set(frame["counter"])


def test_tracepoints_by_interface_and_core() -> None:
    frame = load(KERNEL, "tracepoints")
    received = frame[frame["event"] == "net:netif_receive_skb"]
    assert set(received["interface"]) == {"client-eth1", "client-eth2", "server-eth1", "server-eth2"}
    assert set(received["cpu"]) == {0, 1}
    assert received.groupby("interface")["count"].max()["client-eth1"] > 0
    assert set(frame[frame["event"] == "mptcp:ack_update_msk"]["interface"]) == {""}


def test_captured_segments() -> None:
    frame = load(KERNEL, "pcap")
    assert -0.5 < frame["time_s"].min() < frame["time_s"].max() < 1
    data = frame[(frame["interface"] == "client-eth1") & (frame["source"] == "10.0.1.2:5001")]
    assert data["payload_bytes"].sum() == SIZE_BYTES
    first = frame.iloc[0]
    assert (first["host"], first["flags"], first["mptcp"]) == ("client", "S", "MP_CAPABLE")
    assert set(frame[frame["interface"] == "server-eth2"]["mptcp"].str.split().explode()) >= {"MP_JOIN", "DSS"}
    times = frame[frame["flags"].isin(["S", "SA"])].groupby("flags")["time_s"].min()
    subflow = load(KERNEL, "mptcp-monitor").set_index("event")["time_s"]
    assert times["S"] < times["SA"] < subflow["ESTABLISHED"].min(), "one clock"


def test_events_keep_whole_sequence_numbers(tmp_path: Path) -> None:
    frame = load(OURS, "events")
    sent = frame[(frame["event"] == "DataSent") & (frame["host"] == "server")]
    assert sent["length_bytes"].sum() == SIZE_BYTES
    ends = (sent["dsn"] + sent["length_bytes"]).tolist()
    assert max(ends) - sent["dsn"].min() == SIZE_BYTES
    assert sent["dsn"].min() > 1 << 53, "more than floating point can hold"
    assert frame["time_s"].is_monotonic_increasing


def collected(directory: Path, name: str, lines: list[dict]) -> Path:
    """A point whose only collector is sampled."""
    target = directory / "collected"
    target.mkdir()
    (target / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {"outcome": "ran", "why": None, "files": [f"{name}.jsonl"]}
    sidecar = {"format": 1, "workload": {"began_ns": 10**9}, "collectors": {name: record}}
    (target / "collectors.json").write_text(json.dumps(sidecar))
    return directory


def test_hardware_counters_are_scaled_to_the_time_they_were_wanted(tmp_path: Path) -> None:
    reading = {"time_ns": 3 * 10**9, "host": "", "source": "cycles", "value": {"0": [500, 100, 50], "1": [0, 0, 0]}}
    frame = load(collected(tmp_path, "perf", [reading]), "perf")
    assert frame.to_dict("records") == [
        {"time_s": 2.0, "event": "cycles", "cpu": 0, "count": 1000.0, "share": 0.5},
        {"time_s": 2.0, "event": "cycles", "cpu": 1, "count": 0.0, "share": 0.0},
    ]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="perf left no files: unsupported: this machine has no hardware counters"):
        load(KERNEL, "perf")
    with pytest.raises(UnreadableFile, match="left no files: not applicable"):
        load(KERNEL, "events")
    with pytest.raises(UnreadableFile, match="no collector 'cpu'; there are"):
        load(OURS, "cpu")
    with pytest.raises(UnreadableFile, match="no parser for collector 'cpus'; there are cpu"):
        load(KERNEL, "cpus")
    with pytest.raises(UnreadableFile, match="not a record of collectors"):
        load(tmp_path, "cpu")
    with pytest.raises(UnreadableFile, match="interfaces saw nothing"):
        load(collected(tmp_path, "interfaces", []), "interfaces")


@pytest.mark.parametrize("line", ["torn", '{"time_ns": 1}'])
def test_line_that_is_no_reading_is_named(tmp_path: Path, line: str) -> None:
    shutil.copytree(KERNEL / "collected", tmp_path / "collected")
    with (tmp_path / "collected" / "softnet.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UnreadableFile, match=r"softnet.jsonl:\d+: not a reading"):
        load(tmp_path, "softnet")


def test_parser_of_a_users_own(tmp_path: Path) -> None:
    frame = load(KERNEL, "interfaces", parser="analysis.collected.interfaces:parse")
    assert frame.equals(load(KERNEL, "interfaces"))


def test_collected_directories_of_a_run(tmp_path: Path) -> None:
    for point in ("a", "b"):
        shutil.copytree(KERNEL / "collected", tmp_path / "points" / point / "collected")
    assert [path.parent.name for path in collected_directories(tmp_path)] == ["a", "b"]
