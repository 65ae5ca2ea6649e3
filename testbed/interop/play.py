"""One cell of the table: a lab of its own, both sides' programs, and everything they leave as evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from testbed.host.hosts import Host
from testbed.host.process import Program, announced_ready, module_command, running
from testbed.interop.capture import Frame, capturing, dissect
from testbed.interop.checks import Evidence
from testbed.interop.peer import Scene
from testbed.interop.scenario import BEFORE_WRAP, JOIN_PORT, PORT, ROLES, Cell
from testbed.interop.sides import FIRST
from testbed.lab import Lab
from testbed.spec.templates import load_topology
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.counters import difference, read

Place = TypeVar("Place")

STEP_LIMIT_S = 8.0
"""Chosen: for what is to be seen of a step; a SYN that is lost twice, and comes after 3 s, is within it."""
PROGRAM_LIMIT_S = 40.0
"""Chosen: for the whole of a scene, all its steps."""
_SYSCTLS = {"net.mptcp.blackhole_timeout": "0"}
"""Of the kernel under test, beside the scenario's: a lost SYN must not keep later ones from asking for MPTCP."""

_CHAIN = "add table inet middlebox\nadd chain inet middlebox way { type filter hook forward priority 0; }\n"


def play(cell: Cell, directory: Path) -> Evidence:
    """Play a cell; raw files go to `directory`. LabError when the lab or the kernel refuses its settings."""
    directory.mkdir(parents=True)
    evidence = Evidence(cell)
    with Lab(load_topology("dual-stack", {"rate": "none"})) as lab:
        _prepare(cell, lab)
        before = read(lab)
        with capturing(lab.hosts[cell.ours], directory):
            programs = _run_programs(cell, lab, directory)
        counted = difference(before, read(lab))
        nstat = lab.hosts[cell.kernel].run(["nstat", "-as"], check=False).stdout
        (directory / "nstat.txt").write_text(nstat)
        for role, program in programs.items():
            _collect(evidence, role, program)
        evidence.counters[cell.kernel] = counted[cell.kernel].protocols
        hosts = {address: host for host in ROLES for address in _every_address(lab.hosts[host])}
    evidence.frames = dissect(directory / "capture.pcap", hosts, (PORT, JOIN_PORT))
    return evidence


def save(evidence: Evidence, problems: list[str], directory: Path) -> None:
    """Write what was seen and found as one JSON file beside the raw ones."""
    document = {
        "scenario": evidence.cell.scenario.name,
        "ours": evidence.cell.ours,
        "family": evidence.cell.family.name,
        "problems": problems,
        "outcomes": evidence.outcomes,
        "counters": {role: dict(counters) for role, counters in evidence.counters.items()},
        "left": evidence.left,
        "options": _options(evidence.frames),
        "tshark warnings": sorted({text for frame in evidence.frames for text in frame.warnings}),
    }
    (directory / "evidence.json").write_text(json.dumps(document, indent=1) + "\n")


def _options(frames: list[Frame]) -> dict[str, dict[str, int]]:
    """How many packets of each side carried each MPTCP option."""
    counts: dict[str, dict[str, int]] = {role: {} for role in ROLES}
    for frame in frames:
        for subtype in frame.subtypes if frame.sender else ():
            counts[frame.sender][subtype] = counts[frame.sender].get(subtype, 0) + 1
    return counts


def _prepare(cell: Cell, lab: Lab) -> None:
    """Settings of the kernel under test, captures that show the wire, and the router's rules."""
    scenario, host = cell.scenario, lab.hosts[cell.kernel]
    for name, value in (_SYSCTLS | dict(scenario.kernel)).items():
        host.set_sysctl(name, value)
    subflows, accepted = map(str, scenario.limits)
    host.run(["ip", "mptcp", "limits", "set", "subflows", subflows, "add_addr_accepted", accepted])
    places = {version: list(zip(_addresses(host, version), host.interfaces, strict=True)) for version in (4, 6)}
    for address_id, (address, device), flags in _flagged(cell, cell.kernel, places):
        if flags:
            number = ["id", str(address_id)]
            host.run(["ip", "mptcp", "endpoint", "add", address, *number, "dev", device, *flags.split()])
    # The capture shows what a wire carries; where the router alters packets, nobody computes a checksum before the end.
    checksums = "on" if scenario.altered else "off"
    for host in lab.hosts.values():
        for interface in host.interfaces:
            host.run(["ethtool", "-K", interface, "tx", checksums, "gro", "off"])
    router = lab.hosts["router"]
    rules = "".join(f"add rule inet middlebox way {rule}\n" for rule in scenario.rules)
    router.run(["nft", "-f", "-"], input=_CHAIN + rules)
    for command in scenario.router:
        router.run(command.split())


def _run_programs(cell: Cell, lab: Lab, directory: Path) -> dict[str, Program]:
    """Play both sides to their end."""
    scenario = cell.scenario
    client, server = lab.hosts[CLIENT], lab.hosts[SERVER]
    scene = Scene(scenario.name, list(scenario.client), list(scenario.server), early=scenario.early)
    listen = ["--listen", f"{_wildcard(cell)}:{PORT}"]
    connect = ["--connect", f"[{_target(cell, server)}]:{PORT}", "--scenes", json.dumps([asdict(scene)])]
    with running(server, _command(cell, lab, SERVER, *listen), directory, SERVER) as at_server:
        at_server.await_start(announced_ready)
        with running(client, _command(cell, lab, CLIENT, *connect), directory, CLIENT) as at_client:
            at_client.wait(PROGRAM_LIMIT_S, lambda _: None)
    return {CLIENT: at_client, SERVER: at_server}


def _command(cell: Cell, lab: Lab, role: str, *arguments: str) -> list[str]:
    options = ["--router", str(lab.hosts["router"].pid), "--step-limit", str(STEP_LIMIT_S)]
    argv = module_command("testbed.interop.peer", *arguments, *options)
    if role == cell.kernel:
        return ["mptcpize", "run", *argv] if cell.scenario.kernel_mptcp else argv
    argv += ["--stack-loop", "mptcp_stack"]
    for address in _own_addresses(cell, lab.hosts[role]):
        argv += ["--address", address]
    if cell.scenario.wraps:
        argv += ["--wrap-within", str(BEFORE_WRAP)]
    for setting in cell.scenario.ours:
        argv += ["--set", setting]
    return argv


def _own_addresses(cell: Cell, host: Host) -> list[str]:
    """Our stack's addresses in `host`, the first one first, with interface, gateway and flags."""
    first, second = cell.family.first, cell.family.second
    places = {version: [one for one in host.stack_addresses if (":" in one) == (version == 6)] for version in (4, 6)}
    flagged = _flagged(cell, host.name, places)
    addresses = [
        ",".join((address, *flags.replace("port ", "port=").split()))
        for address_id, address, flags in flagged
        if flags or address_id == FIRST
    ]
    if first != second and len(addresses) == 1:
        # What is announced to us in the other IP version needs an address to join from.
        addresses.append(places[second][0])
    return addresses


def _flagged(cell: Cell, role: str, places: Mapping[int, Sequence[Place]]) -> list[tuple[int, Place, str]]:
    """A side's addresses, of those at `places` by IP version, with their identifiers and flags (none: not in use)."""
    scenario, (_, first, second) = cell.scenario, cell.family
    begins, joins = places[first][0], places[second][1]
    left = [place for version in (4, 6) for place in places[version] if place not in (begins, joins)]
    flags = [scenario.first.get(role, ""), scenario.second.get(role, ""), *2 * [scenario.others.get(role, "")]]
    return list(zip(range(FIRST, FIRST + 4), [begins, joins, *left], flags, strict=True))


def _addresses(host: Host, version: int) -> list[str]:
    return host.addresses if version == 4 else host.addresses6


def _every_address(host: Host) -> list[str]:
    return [*host.addresses, *host.addresses6, *host.stack_ips, *host.stack_ips6]


def _wildcard(cell: Cell) -> str:
    return "0.0.0.0" if (cell.family.first, cell.family.second) == (4, 4) else "[::]"


def _target(cell: Cell, server: Host) -> str:
    """Where the client connects to."""
    if cell.ours == SERVER:
        address = (server.stack_ips if cell.family.first == 4 else server.stack_ips6)[0]
    else:
        address = _addresses(server, cell.family.first)[0]
    # The kernel joins over IPv6 only to what began on a socket of IPv6, mapped IPv4 included.
    mapped = cell.kernel == CLIENT and (cell.family.first, cell.family.second) == (4, 6)
    return f"::ffff:{address}" if mapped else address


def _collect(evidence: Evidence, role: str, program: Program) -> None:
    """Take what a program printed at its end."""
    documents = [one for one in program.documents() if "outcomes" in one]
    if not documents or program.process.returncode != 0:
        evidence.died.append(f"{evidence.stack(role)}: {program.name} died: {program.last_words()}")
    if documents:
        report = documents[-1]
        evidence.outcomes[role], evidence.left[role] = report["outcomes"], report["left"]
        if report["stack"]:
            evidence.counters[role] = report["stack"]["counters"]
            evidence.build = report["stack"]["build"]
