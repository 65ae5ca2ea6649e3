"""What this machine has of what the lab can use, what a missing thing costs, and the remedy: asks, assumes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from mptcp_stack.build import notice, running
from testbed.collectors.perf_events import HARDWARE, Counter, tracefs
from testbed.errors import Unsupported
from testbed.links.bond import has_driver
from testbed.placement.cpus import governors, online_cpus
from testbed.runs.provenance import PROJECT

HAVE, MISSING, UNKNOWN = "have", "missing", "unknown"

_INSTRUCTIONS = 1  # the event of that name in linux/perf_event.h
_ENOUGH_CORES = 4
"""Sender, receiver, emulator, and the kernel's work on packets."""
_ENOUGH_MEMORY_BYTES = 2 << 30
"""Chosen: a hundred connections with full buffers (4 and 6 MiB) hold one, the rest is for all else."""
_KERNEL = "use a kernel that has it; Debian's linux-image-amd64 does"
_BARE_METAL = "a machine of metal, or a virtual one that passes it on"


class Finding(NamedTuple):
    """One thing: whether it is there, what for, what is lost without it, the remedy, and whether it must be there.

    `detail` says more about its state.
    """

    name: str
    state: str
    detail: str
    use: str
    without: str
    remedy: str
    needed: bool = False


Answer = tuple[str, str]
"""A state, and a detail or nothing."""


class _Check(NamedTuple):
    """A finding to be made."""

    name: str
    probe: Callable[[], Answer]
    use: str
    without: str
    remedy: str
    needed: bool = False


def _is(found: bool, detail: object = "") -> Answer:
    return (HAVE if found else MISSING), str(detail)


def _trial(command: str) -> Callable[[], Answer]:
    """Try a command in a network namespace that ends with it; only root can."""
    return lambda: _tried(command.split())


def _tried(argv: list[str]) -> Answer:
    if os.geteuid() != 0:
        return UNKNOWN, "only root can tell"
    try:
        return _is(subprocess.run(["unshare", "--net", *argv], capture_output=True, timeout=10).returncode == 0)
    except (OSError, subprocess.TimeoutExpired) as error:
        return UNKNOWN, str(error)


def _file(path: str) -> Callable[[], Answer]:
    def probe() -> Answer:
        try:
            return _is(Path(path).exists())
        except PermissionError:
            return UNKNOWN, "only root can tell"

    return probe


def _value(path: str, unit: str = "") -> Callable[[], Answer]:
    """Whether there is such a file, and what it holds."""

    def probe() -> Answer:
        try:
            return HAVE, f"{Path(path).read_text().strip()}{unit}"
        except OSError:
            return MISSING, ""

    return probe


def _bonding() -> Answer:
    return _is(has_driver()) if os.geteuid() == 0 else (UNKNOWN, "only root can tell")


def _congestion_controls() -> Answer:
    available = set(Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split())
    return _is(available >= {"cubic", "reno"}, ", ".join(sorted(available)))


def rfs_follows_mptcp() -> bool:
    """Whether this kernel's flow steering knows the subflows of an MPTCP connection (Linux 6.18)."""
    major, minor = (int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return (major, minor) >= (6, 18) and Path("/proc/sys/net/mptcp").exists()


def _rfs_of_mptcp() -> Answer:
    return _is(rfs_follows_mptcp(), f"Linux {os.uname().release}")


def _cores() -> Answer:
    return _is(len(online_cpus()) >= _ENOUGH_CORES, f"{len(online_cpus())} cores")


def _governor() -> Answer:
    found = sorted({governor or "" for governor in governors().values()} - {""})
    return _is(found in ([], ["performance"]), ", ".join(found) or "frequency not governed by this system")


def _memory() -> Answer:
    available = psutil.virtual_memory().available
    return _is(available >= _ENOUGH_MEMORY_BYTES, f"{available / (1 << 30):.1f} GiB free")


def _tracepoints() -> Answer:
    if os.geteuid() != 0:
        return UNKNOWN, "only root can tell"
    try:
        with tracefs() as directory:
            return _is((directory / "events/net/netif_receive_skb").is_dir())
    except Unsupported as error:
        return MISSING, error.message


def _hardware_counters() -> Answer:
    try:
        Counter(HARDWARE, _INSTRUCTIONS, online_cpus()[0])
    except PermissionError:
        return UNKNOWN, "only root can tell"
    except (OSError, Unsupported) as error:
        return MISSING, str(error)
    return HAVE, ""


def _cpuset() -> Answer:
    second = Path("/sys/fs/cgroup/cgroup.controllers")
    return _is(Path("/sys/fs/cgroup/cpuset").is_dir() or (second.exists() and "cpuset" in second.read_text().split()))


# Takes the steering program from a multi-queue TUN device that has none: refused only where there is no such thing.
_STEERING = """
import fcntl, os, struct
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"probe", 0x0001 | 0x1000 | 0x0100))
fcntl.ioctl(tun, 0x800454E0, struct.pack("i", -1))
"""


def _tun_steering() -> Answer:
    return _tried([sys.executable, "-I", "-S", "-c", _STEERING])


def _compiled_core() -> Answer:
    return _is(running() == "compiled", notice() or ("" if running() == "compiled" else "pure Python"))


_QUEUES = "/sys/class/net/lo/queues"
_CHECKS = (
    _Check("root", lambda: _is(os.geteuid() == 0), "building a lab", "no lab at all", "sudo ./lab ...", True),
    _Check("cores", _cores, "sender, receiver, emulator and packets side by side",
           "they compete: rates above some Gbit/s say more of the machine than of the stack", "4 or more"),
    _Check("memory", _memory, "buffers of many connections", "the large points may fail", "2 GiB free"),
    _Check("CPU governor", _governor, "equal pace of all runs", "runs differ as the frequency does",
           "cpupower frequency-set -g performance (package linux-cpupower)"),
    _Check("real-time priority", _trial("chrt -f 10 true"), "an emulator that is on time beside busy programs",
           "delays of emulated links spread by milliseconds under load", "root, in a container CAP_SYS_NICE"),
    _Check("timer slack", _value("/proc/self/timerslack_ns", " ns"), "the emulator sets its own to 1 ns",
           "delays are late by 50 us", _KERNEL),
    _Check("cgroup cpuset", _cpuset, "limits from outside that reserve cores for the lab",
           "nothing in the lab: programs are pinned one by one", "mount the cpuset controller"),
    _Check("kernel: MPTCP", lambda: _is(Path("/proc/sys/net/mptcp/enabled").exists(), "version 1 (RFC 8684)"),
           "kernel-mptcp, ./lab interop", "only plain TCP and the Python stack", _KERNEL, True),
    _Check("kernel: TUN", _file("/dev/net/tun"), "the Python stack's device", "no Python stack", "modprobe tun", True),
    _Check("kernel: TUN queues", _trial("ip tuntap add mode tun multi_queue name probe"), "several worker processes",
           "one process carries all", _KERNEL),
    _Check("kernel: TUN steering", _tun_steering, "packets to the worker that owns the connection (eBPF)",
           "packets reach workers by a hash", _KERNEL),
    _Check("kernel: veth", _trial("ip link add name a type veth peer name b"), "links", "no lab", _KERNEL, True),
    _Check("kernel: tbf", _trial("tc qdisc add dev lo root tbf rate 1mbit burst 10kb limit 100000"),
           "rate and queue of shaped links", "no links shaped by the kernel", _KERNEL, True),
    _Check("kernel: clsact", _trial("tc qdisc add dev lo clsact"), "wires of shaped links", "no shaped links",
           _KERNEL, True),
    _Check("kernel: netem", _trial("tc qdisc add dev lo root netem delay 1ms"), "delay and loss of links",
           "the emulator in user space does it, up to some 100 Mbit/s a link", _KERNEL),
    _Check("kernel: bonding", _bonding, "bonded links", "nft deals the packets out in turn instead", _KERNEL),
    _Check("kernel: nft netdev", _trial("nft add table netdev probe"), "bonded links without the driver",
           "no kernel-bond where the driver is missing, too", _KERNEL),
    _Check("kernel: RPS", _file(f"{_QUEUES}/rx-0/rps_cpus"), "rps_cpus: where packets are processed",
           "packets stay on the core where they came in", _KERNEL),
    _Check("kernel: RFS", _value("/proc/sys/net/core/rps_sock_flow_entries", " entries"),
           "rfs_entries: packets to their application's core", "no flow steering", _KERNEL),
    _Check("kernel: RFS of MPTCP", _rfs_of_mptcp, "flow steering that knows an MPTCP connection's subflows",
           "RFS leaves them scattered; rps_cpus=HOST:CORE takes them to one core", "Linux 6.18 or later"),
    _Check("kernel: XPS", _file(f"{_QUEUES}/tx-0/xps_cpus"), "xps_cpus: which cores use a transmit queue",
           "the kernel chooses", _KERNEL),
    _Check("kernel: tracepoints", _tracepoints, "packets by core and interface (tracefs, perf events)",
           "no flow-affinity, and no collector tracepoints", "run as root; mount of tracefs must be allowed"),
    _Check("hardware counters", _hardware_counters, "cache misses, instructions",
           "costs are told in processor time alone", _BARE_METAL),
    _Check("cubic and reno", _congestion_controls, "equal terms for all stacks", "no comparison", _KERNEL, True),
    _Check("compiled core", _compiled_core, "our stack at its full pace", "it is pure Python, 2 to 4 times as slow",
           "./lab build"),
)  # fmt: skip

_PROGRAMS = {
    "ip": ("namespaces, addresses, routes", "no lab"),
    "tc": ("shaped links", "no lab"),
    "mnexec": ("Mininet's hosts", "no lab"),
    "ethtool": ("offloads of links", "no lab with shaped links"),
    "mptcpize": ("real programs over the kernel's MPTCP", "no kernel-mptcp"),
    "nft": ("middleboxes, bonded links", "no middleboxes, no bonding without the driver"),
    "apache2": ("cross-check with a real server", "own generator only"),
    "ab": ("cross-check with a real load generator", "own generator only"),
    "iperf3": ("cross-check of bulk transfers", "own generator only"),
    "tcpdump": ("captures", "no captures"),
    "tshark": ("captures, read", "captures are not cross-read"),
}
_NEEDED_PROGRAMS = ("ip", "tc", "mnexec")
_PACKAGES_FILE = PROJECT / "provision" / "debian-packages.txt"
_PACKAGE_OF = {"ip": "iproute2"}
"""Packages of programs that stand under another program's name in the file."""


def examine() -> list[Finding]:
    """Return what was found; as root also what only a trial shows (in a network namespace of its own)."""
    return [*map(_find, _CHECKS), *_programs()]


def _find(check: _Check) -> Finding:
    state, detail = check.probe()
    return Finding(check.name, state, detail, check.use, check.without, check.remedy, check.needed)


def _programs() -> Iterator[Finding]:
    packages = _packages() | _PACKAGE_OF
    for name, (use, without) in _PROGRAMS.items():
        place = shutil.which(name)
        package = packages.get(name, name)
        yield Finding(
            f"program: {name}", _is(place is not None)[0], f"package {package}", use, without,
            f"apt-get install {package}", name in _NEEDED_PROGRAMS,
        )  # fmt: skip


def _packages() -> dict[str, str]:
    """The Debian package that brings each program, as the launcher installs them."""
    if not _PACKAGES_FILE.exists():  # installed without the checkout
        return {}
    rows = (line.split() for line in _PACKAGES_FILE.read_text().splitlines())
    return {row[1]: row[0] for row in rows if len(row) > 2 and not row[0].startswith(("#", "["))}
