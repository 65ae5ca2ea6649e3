"""tshark as the judge of a connection between our stack and the kernel's, seen by tcpdump and in our own capture."""

import hashlib
import hmac
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.mixed import PYTHON, ROLES, runs

pytestmark = [pytest.mark.root, pytest.mark.kernel]

BYTES = 300_000

# With these offloads off the packets in the client are what a wire carries, with the checksums the hosts computed.
BODY = f"""
    import signal, subprocess
    from testbed.host.process import announced_ready, running
    for host in ("client", "server"):
        for interface in hosts[host].interfaces:
            hosts[host].run(["ethtool", "-K", interface, "tx", "off", "gro", "off"])
    for client, server in {ROLES}:
        mixed = Mixed(client, server)
        target = mixed.server_address(lab) + ":5001"
        listen = mixed.command(lab, "server", "testbed.loadgen.bulk", "server", "--listen", "0.0.0.0:5001")
        connect = mixed.command(
            lab, "client", "testbed.loadgen.bulk", "client", "--connect", target, "--direction", "download",
            "--bytes", "{BYTES}",
        )
        ours = connect if client == {PYTHON!r} else listen
        ours += ["--pcap", str(directory / f"{{client}}-own.pcap")]
        watch = ["dumpcap", "-q", "-f", "tcp", "-w", str(directory / f"{{client}}-wire.pcap")]
        for interface in hosts["client"].interfaces:
            watch += ["-i", interface]
        with running(hosts["client"], watch, directory, "dumpcap") as watching:
            watching.await_start(lambda program: "File:" in program.stderr.read_text())
            with running(hosts["server"], listen, directory, "server") as at_server:
                at_server.await_start(announced_ready)
                with running(hosts["client"], connect, directory, "client") as at_client:
                    code = at_client.wait(30, lambda _: None)
            time.sleep(0.3)
        say([client, {{"exit code": code}}])
"""


CAPTURES = [(client, where) for client, _ in ROLES for where in ("own", "wire")]
FIELDS = (
    "ip.src", "tcp.len", "tcp.stream", "tcp.checksum.status", "ip.checksum.status", "_ws.malformed",
    "_ws.expert.severity", "_ws.expert.message", "tcp.options.mptcp.subtype", "tcp.options.mptcp.echo",
    "tcp.options.mptcp.datafin.flag", "tcp.options.mptcp.sendkey", "tcp.options.mptcp.recvkey",
    "tcp.options.mptcp.recvtok", "tcp.options.mptcp.sendrand", "tcp.options.mptcp.sendtrunchmac",
    "tcp.options.mptcp.sendhmac", "tcp.options.mptcp.addaddrtrunchmac", "tcp.options.mptcp.addrid",
    "tcp.options.mptcp.ipv4", "mptcp.stream", "mptcp.expected_token", "mptcp.dss.dsn", "mptcp.ack",
    "mptcp.related_mapping",
)  # fmt: skip
CHECKS = ("tcp.check_checksum", "ip.check_checksum", "mptcp.analyze_mappings", "mptcp.relative_sequence_numbers")
MP_CAPABLE, MP_JOIN, DSS, ADD_ADDR = "0123"
GOOD = "1"
WARNING = 0x600000


@dataclass
class Frame:
    """A packet as tshark dissects it; values are texts, "" where a field is absent."""

    fields: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields[name]

    @property
    def sender(self) -> str:
        return "client" if self["ip.src"].endswith((".1", ".101")) else "server"

    def number(self, name: str) -> int:
        return int(self[f"tcp.options.mptcp.{name}"], 0)

    @property
    def warnings(self) -> set[str]:
        """What tshark complains about, warnings and errors."""
        severities = [int(one) for one in self["_ws.expert.severity"].split("|") if one]
        messages = [one for one in self["_ws.expert.message"].split("|") if one]
        return {message for severity, message in zip(severities, messages, strict=True) if severity >= WARNING}


@dataclass
class Capture:
    client: str
    host: str
    """Where the packets were seen."""
    frames: list[Frame]

    def mptcp(self, subtype: str, **present: bool) -> list[Frame]:
        """Frames with an option of a subtype, of those with (or without) these fields."""
        return [
            frame
            for frame in self.frames
            if frame["tcp.options.mptcp.subtype"] == subtype
            and all(bool(frame[f"tcp.options.mptcp.{name}"]) is wanted for name, wanted in present.items())
        ]


def dissect(path: Path) -> list[Frame]:
    # dumpcap writes what several interfaces see not always in the order of time.
    ordered = path.with_suffix(".ordered")
    subprocess.run(["reordercap", str(path), str(ordered)], check=True, capture_output=True)
    argv = ["tshark", "-r", str(ordered), "-T", "fields", "-E", "aggregator=|", "-E", "separator=/t"]
    # Payload is noise that must not be taken for some protocol.
    argv += ["-d", "tcp.port==5001,data"]
    for check in CHECKS:
        argv += ["-o", f"{check}:TRUE"]
    for name in FIELDS:
        argv += ["-e", name]
    output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return [Frame(dict(zip(FIELDS, line.split("\t"), strict=True))) for line in output.splitlines()]


@pytest.fixture(scope="module")
def captures(tmp_path_factory) -> dict[tuple[str, str], Capture]:
    directory = tmp_path_factory.mktemp("tshark")
    for said in runs(directory, "two-paths", {"rate": "100 Mbit/s", "queue": "500 kB"}, BODY).values():
        assert said == {"exit code": 0}
    return {
        (client, where): Capture(
            client,
            "client" if where == "wire" or client == PYTHON else "server",
            dissect(directory / f"{client}-{where}.pcap"),
        )
        for client, where in CAPTURES
    }


@pytest.fixture(params=CAPTURES, ids="-".join)
def capture(request, captures) -> Capture:
    return captures[request.param]


def test_nothing_is_malformed(capture):
    assert sum(int(frame["tcp.len"]) for frame in capture.frames) >= BYTES
    for frame in capture.frames:
        assert not frame["_ws.malformed"]
        assert frame["ip.checksum.status"] == frame["tcp.checksum.status"] == GOOD


def test_every_warning_is_explained(capture):
    explained = {
        # It counts all NOPs of a segment, in a row or not: two before the timestamps, two to fill up the DSS.
        "4 NOP in a row - a router may have removed some options",
        # It looks for a mapping of the segments that have no payload as well.
        "No mapping available",
        # The kernel's thanks for a probe (RFC 8985 section 7) that a busy machine made us send too early.
        "D-SACK Sequence",
    }
    # A busy machine may lose or reorder packets before they come to where they are captured.
    on_the_way = {
        "Previous segment(s) not captured (common at capture start)",
        "This frame is a (suspected) out-of-order segment",
    }
    for frame in capture.frames:
        assert frame.warnings <= (explained if frame.sender == capture.host else explained | on_the_way)
        if int(frame["tcp.len"]):
            assert frame["mptcp.related_mapping"], "payload without a mapping"


def test_both_subflows_are_one_connection(capture):
    assert {frame["tcp.stream"] for frame in capture.frames} == {"0", "1"}
    # By the token, which tshark computes from the keys.
    assert {frame["mptcp.stream"] for frame in capture.frames} <= {"0", ""}
    assert {frame["tcp.stream"] for frame in capture.frames if frame["mptcp.stream"]} == {"0", "1"}


def token(key: int) -> int:
    return int.from_bytes(hashlib.sha256(key.to_bytes(8, "big")).digest()[:4], "big")


def digest(own_key: int, other_key: int, message: bytes) -> bytes:
    key = own_key.to_bytes(8, "big") + other_key.to_bytes(8, "big")
    return hmac.digest(key, message, "sha256")


def test_handshakes(capture):
    """RFC 8684 sections 3.1 and 3.2, the digests computed from what tshark reads in the packets."""
    capable = capture.mptcp(MP_CAPABLE)
    server_key = capable[1].number("sendkey")
    client_key = capable[2].number("sendkey")
    assert not capable[0]["tcp.options.mptcp.sendkey"]
    assert capable[2].number("recvkey") == server_key
    syn, syn_ack, ack = capture.mptcp(MP_JOIN)[:3]
    assert syn.number("recvtok") == token(server_key)
    assert capable[1]["mptcp.expected_token"] == str(token(server_key))
    theirs, ours = (frame.number("sendrand").to_bytes(4, "big") for frame in (syn, syn_ack))
    assert syn_ack.number("sendtrunchmac") == int.from_bytes(digest(server_key, client_key, ours + theirs)[:8], "big")
    assert bytes.fromhex(ack["tcp.options.mptcp.sendhmac"]) == digest(client_key, server_key, theirs + ours)[:20]


def test_address_is_announced_and_echoed(capture):
    """RFC 8684 section 3.4.1."""
    (announced,) = capture.mptcp(ADD_ADDR, addaddrtrunchmac=True)
    (echo,) = capture.mptcp(ADD_ADDR, addaddrtrunchmac=False)
    address = "10.0.2.2" if capture.client == PYTHON else "10.0.2.102"
    assert announced["tcp.options.mptcp.ipv4"] == echo["tcp.options.mptcp.ipv4"] == address
    assert announced["tcp.options.mptcp.addrid"] == echo["tcp.options.mptcp.addrid"] == "2"
    assert (announced["tcp.options.mptcp.echo"], echo["tcp.options.mptcp.echo"]) == ("0", "1")
    server_key, client_key = (frame.number("sendkey") for frame in capture.mptcp(MP_CAPABLE)[1:3])
    message = b"\2" + bytes(map(int, address.split("."))) + bytes(2)
    assert announced.number("addaddrtrunchmac") == int.from_bytes(digest(server_key, client_key, message)[-8:], "big")


def test_data_sequence(capture):
    """Relative numbers begin at 1 and end with the DATA_FIN: tshark's initial ones, of the keys, are those in use."""
    for side in ("client", "server"):
        sent = [frame for frame in capture.mptcp(DSS) if frame.sender == side and frame["mptcp.dss.dsn"]]
        assert sent
        assert {int(frame["mptcp.dss.dsn"]) for frame in sent if frame["tcp.options.mptcp.datafin.flag"] == "1"}
    mapped = [int(frame["mptcp.dss.dsn"]) for frame in capture.mptcp(DSS) if frame["mptcp.dss.dsn"]]
    assert min(mapped) == 1
    acked = {int(frame["mptcp.ack"]) for frame in capture.mptcp(DSS) if frame.sender == "client"}
    assert BYTES + 2 in acked
