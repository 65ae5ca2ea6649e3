"""Subflows over time: the kernel's `tcp_info` by netlink, or our stack's own samples; connections by `connections`.

Raw: `base64` holds netlink messages of NETLINK_SOCK_DIAG one after the other, each an `inet_diag_msg` with attributes
(linux/inet_diag.h): `INET_DIAG_INFO` is a `tcp_info` or `mptcp_info`, `INET_DIAG_CONG` the congestion control's name,
`INET_DIAG_ULP_INFO` what MPTCP says of a subflow. The structures only ever grow: what an older kernel does not have
is missing here. Lines of `source` "stack" are what our stack says of its connections.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pandas as pd

from analysis.collected.files import Collected, Reading

STATES = {
    1: "ESTABLISHED", 2: "SYN-SENT", 3: "SYN-RECEIVED", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT", 7: "CLOSED",
    8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN-RECEIVED",
}  # fmt: skip

Fields = dict[str, tuple[str, int]]

_TCP_INFO: Fields = {
    "mss_bytes": ("I", 16),
    "unacked_segments": ("I", 24),
    "lost_segments": ("I", 32),
    "srtt_us": ("I", 68),
    "rttvar_us": ("I", 72),
    "ssthresh_segments": ("I", 76),
    "cwnd_segments": ("I", 80),
    "retransmissions": ("I", 100),
    "pacing_rate_Bps": ("Q", 104),
    "bytes_acked": ("Q", 120),
    "bytes_received": ("Q", 128),
    "min_rtt_us": ("I", 148),
    "delivery_rate_Bps": ("Q", 160),
    "bytes_sent": ("Q", 200),
    "bytes_retransmitted": ("Q", 208),
}
"""Format and offset of what is read of `struct tcp_info` (linux/tcp.h)."""

_UNLIMITED = 0x7FFF_FFFF
"""The slow-start threshold of a connection that has lost nothing yet (TCP_INFINITE_SSTHRESH)."""

_MPTCP_INFO: Fields = {
    "subflows": ("B", 0),
    "flags": ("I", 8),
    "token": ("I", 12),
    "retransmissions": ("I", 44),
    "bytes_retransmitted": ("Q", 48),
    "bytes_sent": ("Q", 56),
    "bytes_received": ("Q", 64),
    "bytes_acked": ("Q", 72),
}
"""The same of `struct mptcp_info` (linux/mptcp.h); `subflows` counts those beside the first one."""

_FALLBACK = 1
_INFO, _CONGESTION, _ULP, _ULP_MPTCP = 2, 4, 19, 3
_SUBFLOW: Fields = {"token": ("I", 2), "flags": ("I", 8), "remote_id": ("B", 9), "local_id": ("B", 10)}
"""Format and attribute of what MPTCP says of a subflow: our token, flags, address identifiers."""
_JOINED, _BACKUP = 0b1100, 0b11_0000
"""Flags of a subflow: of an MP_JOIN, and backup, each as the peer and as we said (MPTCP_SUBFLOW_FLAG_*)."""
_HEADER_BYTES, _DIAG_BYTES = 16, 72
_DONE = 3


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and subflow (or plain TCP connection) of either stack.

    `time_s`, `host`, `stack` ("kernel" or "ours"), `local` and `remote` as "10.0.1.1:80", `state` (RFC 9293), `token`
    of the connection (NaN for plain TCP), `joined`, `backup`, `cwnd_bytes`, `srtt_s`, `bytes_sent`, `bytes_received`;
    of the kernel also `congestion`, `bytes_acked`, `bytes_retransmitted`, `retransmissions`, `ssthresh_bytes` (NaN for
    none), `mss_bytes`, `rttvar_s`, `min_rtt_s`, `unacked_segments`, `lost_segments`, `pacing_rate_bps`, `local_id`,
    `delivery_rate_bps`, `remote_id`; of ours also `in_flight_bytes`. The kernel counts retransmissions in `bytes_sent`.
    """
    rows = []
    for reading in collected.readings():
        at = {"time_s": reading.time_s, "host": reading.host}
        if reading.source == "stack":
            rows += [at | {"stack": "ours"} | row for row in _own_subflows(reading)]
        elif reading.source == "tcp":
            rows += [at | {"stack": "kernel"} | row for row in _kernel_subflows(reading.content)]
    return collected.frame(rows)


def connections(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and connection of the kernel's MPTCP, from `mptcp_info`.

    `time_s`, `host`, `local`, `remote`, `state`, `token`, `subflows` (the first one too), `fallback`, `bytes_sent`,
    `bytes_received`, `bytes_acked`, `bytes_retransmitted`, `retransmissions`.
    """
    rows = []
    for reading in collected.readings():
        if reading.source != "mptcp":
            continue
        for socket, attributes in _sockets(reading.content):
            values = _structure(attributes.get(_INFO, b""), _MPTCP_INFO)
            if values:
                fallback = bool(values.pop("flags") & _FALLBACK)
                more = {"subflows": values.pop("subflows") + 1, "fallback": fallback}
                rows.append({"time_s": reading.time_s, "host": reading.host} | socket | values | more)
    return collected.frame(rows)


def _own_subflows(reading: Reading) -> Iterator[dict[str, Any]]:
    for connection in reading.content:
        for number, subflow in enumerate(connection["subflows"]):
            yield {
                "local": _address(*subflow["local"][:2]),
                "remote": _address(*subflow["remote"][:2]),
                "state": subflow["state"].replace("_", "-"),
                "token": connection["token"] if connection["is_mptcp"] else None,
                "joined": number > 0,
                "srtt_s": subflow["srtt_ns"] / 1e9 or None,
                **{name: subflow[name] for name in ("backup", "cwnd_bytes", "in_flight_bytes")},
                **{name: subflow[name] for name in ("bytes_sent", "bytes_received")},
            }


def _kernel_subflows(messages: bytes) -> Iterator[dict[str, Any]]:
    for socket, attributes in _sockets(messages):
        values = _structure(attributes.get(_INFO, b""), _TCP_INFO)
        if not values:
            continue  # it waits in TIME-WAIT's cheaper form
        congestion = attributes.get(_CONGESTION, b"").rstrip(b"\0").decode()
        yield socket | _in_units(values) | {"congestion": congestion} | _membership(attributes.get(_ULP, b""))


def _in_units(values: dict[str, Any]) -> dict[str, Any]:
    """Return what `tcp_info` has in bytes, seconds and bit/s."""
    units: dict[str, Any] = {}
    for name, value in values.items():
        quantity, _, unit = name.rpartition("_")
        if unit == "us":
            units[f"{quantity}_s"] = value / 1e6
        elif unit == "Bps":
            units[f"{quantity}_bps"] = value * 8
        elif name in ("cwnd_segments", "ssthresh_segments"):
            units[f"{quantity}_bytes"] = None if value == _UNLIMITED else value * values["mss_bytes"]
        else:
            units[name] = value
    return units


def _membership(ulp: bytes) -> dict[str, Any]:
    """Return what a subflow says of its connection; a plain TCP connection has no token."""
    inner = dict(_attributes(dict(_attributes(ulp)).get(_ULP_MPTCP, b"")))
    found = {
        name: struct.unpack_from(f"={kind}", inner[number])[0]
        for name, (kind, number) in _SUBFLOW.items()
        if number in inner
    }
    flags = found.pop("flags", 0)
    return {"token": None} | found | {"joined": bool(flags & _JOINED), "backup": bool(flags & _BACKUP)}


def _sockets(messages: bytes) -> Iterator[tuple[dict[str, Any], dict[int, bytes]]]:
    """Return state and addresses of each socket of a dump, and its attributes."""
    start = 0
    while start < len(messages):
        length, kind = struct.unpack_from("=IH", messages, start)
        message = messages[start + _HEADER_BYTES : start + length]
        start += (length + 3) & ~3
        if kind <= _DONE:
            continue
        family, state = message[0], message[1]
        local_port, remote_port = struct.unpack_from("!HH", message, 4)
        size = 4 if family == 2 else 16
        socket = {
            "local": _address(str(ip_address(message[8 : 8 + size])), local_port),
            "remote": _address(str(ip_address(message[24 : 24 + size])), remote_port),
            "state": STATES.get(state, str(state)),
        }
        yield socket, dict(_attributes(message[_DIAG_BYTES:]))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += (max(length, 4) + 3) & ~3


def _structure(data: bytes, fields: Fields) -> dict[str, Any]:
    """Return the fields of a structure of the kernel, as far as it has them."""
    return {
        name: struct.unpack_from(f"={kind}", data, offset)[0]
        for name, (kind, offset) in fields.items()
        if offset + struct.calcsize(kind) <= len(data)
    }


def _address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
