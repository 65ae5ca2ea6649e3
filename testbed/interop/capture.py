"""Packets of one host: captured by tcpdump on its interfaces, read by tshark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.host.commands import run
from testbed.host.process import running

if TYPE_CHECKING:
    from testbed.host.hosts import Host

SUBTYPES = (
    "MP_CAPABLE", "MP_JOIN", "DSS", "ADD_ADDR", "REMOVE_ADDR", "MP_PRIO", "MP_FAIL", "MP_FASTCLOSE", "MP_TCPRST",
)  # fmt: skip
"""Names of the option's subtypes, in the order of their numbers (RFC 8684 section 8)."""

_MPTCP = "tcp.options.mptcp."
_FIELDS = (
    "ip.src", "ipv6.src", "tcp.srcport", "tcp.dstport", "tcp.len", "tcp.flags", "tcp.stream",
    "ip.checksum.status", "tcp.checksum.status", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message",
    "ip.dsfield.ecn", "ipv6.tclass.ecn", "tcp.options.timestamp.tsval", "tcp.options.wscale.shift",
    "tcp.flags.ece", "tcp.flags.cwr", "tcp.options.sack_perm", "tcp.options.sack.count", "tcp.options",
    *(_MPTCP + name for name in (
        "subtype", "version", "backup.flag", "checksumreq.flags", "nomoresubflows.flag", "datafin.flag", "dseqn8.flag",
        "dataack8.flag", "sendkey", "recvkey", "recvtok", "sendhmac", "sendtrunchmac", "addrid", "echo", "ipv4", "ipv6",
        "port", "addaddrtrunchmac", "datalvllen", "checksum", "rst_reason", "rawdataseqno", "rawdataack",
    )),
    "mptcp.stream", "mptcp.dss.infinite_mapping", "mptcp.reinjection_of",
)  # fmt: skip
_CHECKS = ("tcp.check_checksum", "ip.check_checksum", "mptcp.analyze_mappings", "mptcp.intersubflows_retransmission")
_BAD_CHECKSUM = "0"
_ERROR = 0x800000
_WARNING = 0x600000


@dataclass(frozen=True)
class Frame:
    """A packet as tshark reads it; values are texts, several of one field joined by `|`, "" where it is absent."""

    number: int
    fields: dict[str, str]
    sender: str
    """The host it came from."""

    def __getitem__(self, name: str) -> str:
        return self.fields[name] if name in self.fields else self.fields[_MPTCP + name]

    @property
    def subtypes(self) -> list[str]:
        """Names of the MPTCP options it carries."""
        return [SUBTYPES[int(number)] for number in self["subtype"].split("|") if number]

    def expert(self, severity: int) -> list[str]:
        """What tshark remarks of at least this severity."""
        levels = [int(level) for level in self["_ws.expert.severity"].split("|") if level]
        texts = self["_ws.expert.message"].split("|")
        return [text for level, text in zip(levels, texts, strict=False) if level >= severity]

    def faults(self, checksums: bool) -> list[str]:
        """Why it is not a well-formed packet."""
        # Of checksums the fields below tell; a packet may be captured before its checksum is computed.
        errors = [text for text in self.expert(_ERROR) if not text.startswith("Bad checksum")]
        found = [f"frame {self.number}: {text}" for text in errors]
        if self["_ws.malformed"]:
            found.append(f"frame {self.number}: malformed")
        # Linux writes the checksum 0 as 0xffff, which is the same number (RFC 1624).
        same = any("instead of 0x0000" in text for text in self.expert(_WARNING))
        bad = [name for name in ("ip", "tcp") if self[f"{name}.checksum.status"] == _BAD_CHECKSUM and not same]
        return found + [f"frame {self.number}: bad {name} checksum" for name in bad if checksums]

    @property
    def warnings(self) -> list[str]:
        """What tshark warns of, errors left out."""
        return [text for text in self.expert(_WARNING) if text not in self.expert(_ERROR)]


@contextmanager
def capturing(host: Host, directory: Path) -> Iterator[Path]:
    """Capture TCP on the host's interfaces during the block; afterwards the file named is there."""
    merged = directory / "capture.pcap"
    parts = [directory / f"{interface}.pcap" for interface in host.interfaces]
    with ExitStack() as stack:
        for interface, part in zip(host.interfaces, parts, strict=True):
            # Immediate: nothing is kept back when it is told to end.
            argv = ["tcpdump", "-i", interface, "--immediate-mode", "-U", "-Z", "root", "-w", str(part), "tcp"]
            program = stack.enter_context(running(host, argv, directory, f"tcpdump-{interface}"))
            program.await_start(lambda program: "listening" in program.stderr.read_text())
        yield merged
    run(["mergecap", "-F", "pcap", "-w", str(merged), *map(str, parts)])
    for part in parts:
        part.unlink()


def dissect(path: Path, hosts: Mapping[str, str], ports: Iterable[int]) -> list[Frame]:
    """Read a capture; `hosts` gives the host of each address, `ports` are those that servers listen on."""
    argv = ["tshark", "-r", str(path), "-T", "fields", "-E", "aggregator=|", "-E", "separator=/t"]
    for port in ports:
        # Payload is noise that must not be taken for some protocol.
        argv += ["-d", f"tcp.port=={port},data"]
    for check in _CHECKS:
        argv += ["-o", f"{check}:TRUE"]
    for name in _FIELDS:
        argv += ["-e", name]
    frames = []
    for number, line in enumerate(run(argv, timeout=120).stdout.splitlines(), start=1):
        fields = dict(zip(_FIELDS, line.split("\t"), strict=True))
        source = fields["ip.src"] or fields["ipv6.src"]
        frames.append(Frame(number, fields, hosts.get(source, "")))
    return frames
