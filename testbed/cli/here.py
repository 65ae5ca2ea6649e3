"""What the host that this runs on says of its MPTCP: its settings, addresses, ways and counters. Nothing is changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbed.errors import Unsupported
from testbed.stacks.mptcp_diagnosis import FALLBACKS, JOIN_REFUSALS

if TYPE_CHECKING:
    from analysis.why.host import HostAddress, HostState, Way

_TIMEOUT_S: Final = 10
_SETTINGS: Final = Path("/proc/sys/net/mptcp")
_COUNTERS: Final = Path("/proc/net/netstat")
_PREFIX: Final = "MPTcpExt"
_STRICT: Final = 1
"""Of rp_filter (ip-sysctl.rst); the larger one of `all` and the interface counts."""


def state(destinations: Sequence[str]) -> HostState:
    """Return what this host says of itself, and how packets from each address go to `destinations`."""
    from analysis.why.host import HostState

    addresses = _addresses()
    limits = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", _ip("mptcp", "limits") or "")}
    return HostState(
        settings=_settings(),
        addresses=addresses,
        endpoints=[_with_flags(one) for one in _documents("mptcp", "endpoint")],
        limits=limits,
        ways=list(_ways(addresses, destinations)),
        strict=[device for device in {one.device for one in addresses} if _filter_of(device) == _STRICT],
        counters=_counters(),
        meanings=dict(FALLBACKS) | {counter: meaning for (_, counter), meaning in JOIN_REFUSALS.items()},
    )


def _ip(*words: str) -> str | None:
    """Return what `ip -json` prints; None when it fails, as it does for what the kernel lacks."""
    try:
        done = subprocess.run(["ip", "-json", *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise Unsupported("ip is not there: apt-get install iproute2") from error
    except subprocess.TimeoutExpired as error:
        raise Unsupported(f"ip {' '.join(words)}: no answer within {_TIMEOUT_S} s") from error
    return done.stdout if done.returncode == 0 else None


def _documents(*words: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(_ip(*words) or "[]"))
    except ValueError:
        return []


def _with_flags(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Return an endpoint with a list of its flags, each of which iproute2 prints as a value of its own."""
    from analysis.why.host import FLAGS

    return endpoint | {"flags": [flag for flag in FLAGS if endpoint.get(flag)]}


def _settings() -> dict[str, str] | None:
    if not _SETTINGS.is_dir():
        return None
    return {path.name: path.read_text().strip() for path in _SETTINGS.iterdir() if os.access(path, os.R_OK)}


def _addresses() -> list[HostAddress]:
    from analysis.why.host import HostAddress

    return [
        HostAddress(address["local"], link["ifname"], "LOWER_UP" in link.get("flags", ()))
        for link in _documents("address")
        for address in link.get("addr_info", ())
        if address.get("scope") == "global" and not address.get("deprecated") and not address.get("temporary")
    ]


def _ways(addresses: Sequence[HostAddress], destinations: Sequence[str]) -> Iterator[Way]:
    """Return the way from each address that is up to each destination of its family that is not here."""
    from analysis.why.host import Way

    own = {ip_address(one.ip) for one in addresses}
    for one in addresses:
        for destination in (to for to in destinations if ip_address(to) not in own):
            if not one.up or ip_address(one.ip).version != ip_address(destination).version:
                continue
            found = _documents("route", "get", destination, "from", one.ip)
            yield Way(one.ip, destination, str(found[0].get("dev", "")) if found else "", "" if found else "no route")


def _filter_of(device: str) -> int:
    folder = Path("/proc/sys/net/ipv4/conf")
    try:
        return max(int((folder / name / "rp_filter").read_text()) for name in ("all", device))
    except OSError:
        return 0


def _counters() -> dict[str, int]:
    """Return the kernel's counters of MPTCP in this network namespace."""
    lines = _COUNTERS.read_text().splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        kind, *words = names.split()
        if kind == f"{_PREFIX}:":
            return dict(zip(words, map(int, numbers.split()[1:]), strict=False))
    return {}
