"""The two stacks as a scripted end sees them: what they count and say, and how their paths are managed."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from random import SystemRandom
from typing import Any, Protocol

from typing_extensions import override

from testbed.stacks.counters import read_process

SOL_MPTCP, MPTCP_INFO = 284, 1
FIRST, SECOND = 1, 2
"""Identifiers of addresses, in the kernel's endpoints and in our stack; further ones follow."""
_UNUSED = 99
_KEY_BYTES = 8
MAPPED, NOBODY = "mapped", "nobody"
_MULTICAST = {4: "224.0.0.1", 6: "ff0e::1"}
UNACCEPTABLE_PERFORMANCE = 5
"""A reason of MP_TCPRST (RFC 8684 section 3.6)."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_BACKLOG = 256


class Side(Protocol):
    """The stack under one end."""

    async def start_server(self, accept: Accept, host: str, port: int) -> asyncio.AbstractServer:
        """Listen; `::` stands for both IP versions."""

    async def connect_early(self, host: str, port: int, data: bytes) -> Streams:
        """Connect with a SYN that carries `data`. Raises OSError where this stack has no such thing."""

    def is_mptcp(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is MPTCP and has not fallen back."""

    def counters(self) -> Mapping[str, int]:
        """What this host's stack counts, under the kernel's MIB names."""

    def state(self, writer: asyncio.StreamWriter) -> Any:
        """What the stack says of its connections and subflows."""

    def left(self) -> list[str]:
        """Connections that have not ended, as far as this side can tell."""

    def make_backup(self) -> None:
        """Make the subflow of the second address a backup."""

    def withdraw(self, which: str) -> None:
        """Withdraw addresses: the `first`, the `second`, or all `others` than the first."""

    def announce(self, which: str) -> None:
        """Announce again what was withdrawn, IPv4 in its `mapped` form; or `nobody`, as the second address would be."""

    def reset(self) -> None:
        """Reset the subflow of the second address."""


class KernelSide:
    """The kernel's sockets of this host."""

    def __init__(self) -> None:
        self._withdrawn: list[str] = []

    async def start_server(self, accept: Accept, host: str, port: int) -> asyncio.AbstractServer:
        if host != "::":
            return await asyncio.start_server(accept, host, port, backlog=_BACKLOG)
        listening = socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        return await asyncio.start_server(accept, sock=listening, backlog=_BACKLOG)

    async def connect_early(self, host: str, port: int, data: bytes) -> Streams:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM)
        await asyncio.to_thread(connecting.sendto, data, socket.MSG_FASTOPEN, (host, port))
        return await asyncio.open_connection(sock=connecting)

    def is_mptcp(self, writer: asyncio.StreamWriter) -> bool:
        try:
            writer.get_extra_info("socket").getsockopt(SOL_MPTCP, MPTCP_INFO, 256)
        except OSError:
            return False
        return True

    def counters(self) -> Mapping[str, int]:
        return read_process(os.getpid()).protocols

    def state(self, writer: asyncio.StreamWriter) -> Any:
        return {f"ss -{kind}ni": _output("ss", f"-H{kind}ni") for kind in "Mt"}

    def left(self) -> list[str]:
        return []

    def make_backup(self) -> None:
        # A flag that is not said again is taken away, and with `fullmesh` the subflows go.
        kept = [flag for flag in self._second_endpoint() if flag == "fullmesh"]
        _output("ip", "mptcp", "endpoint", "change", "id", str(SECOND), "backup", *kept)

    def withdraw(self, which: str) -> None:
        one = {"first": ("id", str(FIRST)), "second": ("id", str(SECOND))}.get(which, ())
        self._withdrawn = _output("ip", "mptcp", "endpoint", "show", *one).splitlines()
        _output("ip", "mptcp", "endpoint", *(("delete", *one) if one else ("flush",)))

    def announce(self, which: str) -> None:
        if which == NOBODY:
            multicast = _MULTICAST[6 if ":" in self._second_endpoint()[0] else 4]
            _output("ip", "mptcp", "endpoint", "add", multicast, "signal")
            return
        for endpoint in self._withdrawn:
            address, *rest = endpoint.split()
            address = f"::ffff:{address}" if which == MAPPED and ":" not in address else address
            _output("ip", "mptcp", "endpoint", "add", address, *rest)

    def reset(self) -> None:
        _output("ss", "-tK", "src", f"[{self._second_endpoint()[0]}]")

    def _second_endpoint(self) -> list[str]:
        """Address and flags as the kernel shows them."""
        return _output("ip", "mptcp", "endpoint", "show", "id", str(SECOND)).split()


class NearWrap(SystemRandom):
    """Draws keys (of version 1) whose data sequence numbers begin so many bytes, or fewer, below 2**32."""

    def __init__(self, wrap_within: int) -> None:
        super().__init__()
        self._first = (1 << 32) - wrap_within

    @override
    def randbytes(self, n: int) -> bytes:
        value = super().randbytes(n)
        # The initial number is of the last bytes of the key's hash (RFC 8684 section 3.1); here, of its lower half.
        while n == _KEY_BYTES and int.from_bytes(sha256(value).digest()[-4:], "big") < self._first:
            value = super().randbytes(n)
        return value


class OwnSide:
    """Our stack, on the network that this program's event loop drives."""

    def __init__(self, loop: Any, wrap_within: int | None = None) -> None:
        self._loop = loop
        self._network, self._driver = loop.network, loop.driver
        if wrap_within is not None:
            self._network.stack.random = NearWrap(wrap_within)

    async def start_server(self, accept: Accept, host: str, port: int) -> asyncio.AbstractServer:
        everything = None if host == "::" else host  # asyncio's `::` is for IPv6 alone
        return await asyncio.start_server(accept, everything, port, backlog=_BACKLOG)

    async def connect_early(self, host: str, port: int, data: bytes) -> Streams:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def is_mptcp(self, writer: asyncio.StreamWriter) -> bool:
        return bool(writer.get_extra_info("mptcp")["is_mptcp"])

    def counters(self) -> Mapping[str, int]:
        counters: Mapping[str, int] = self._network.counters
        return counters

    def state(self, writer: asyncio.StreamWriter) -> Any:
        return writer.get_extra_info("mptcp")

    def left(self) -> list[str]:
        return [
            f"{connection.mode.name} {[str(subflow.endpoint.state) for subflow in connection.subflows]}"
            for connection in self._network.stack.connections
        ]

    def make_backup(self) -> None:
        for connection, subflow in self._second_subflows():
            connection.set_backup(subflow, True)
        self._driver.wake()

    def withdraw(self, which: str) -> None:
        for connection in self._network.stack.connections:
            for address in self._addresses(which):
                connection.withdraw(address.ip, self._driver.now)
        self._driver.wake()

    def announce(self, which: str) -> None:
        for connection in self._network.stack.connections:
            for address in self._announced(which):
                connection.announcements.announce(address, self._driver.now)
        self._driver.wake()

    def _announced(self, which: str) -> tuple[Any, ...]:
        (second,) = self._addresses("second")
        if which == NOBODY:
            ip = ip_address(_MULTICAST[4 if len(second.ip) == 4 else 6]).packed
            return (replace(second, ip=ip, address_id=_UNUSED),)
        if which == MAPPED:
            mapped = IPv6Address(f"::ffff:{ip_address(second.ip)}") if len(second.ip) == 4 else ip_address(second.ip)
            return (replace(second, ip=mapped.packed),)
        return self._addresses(which)

    def _addresses(self, which: str) -> tuple[Any, ...]:
        first, *others = self._network.stack.addresses
        return {"first": (first,), "second": tuple(others[:1])}.get(which, tuple(others))

    def reset(self) -> None:
        for _, subflow in self._second_subflows():
            subflow.reject(UNACCEPTABLE_PERFORMANCE, round(self._loop.time() * 1e9))
        self._driver.wake()

    def _second_subflows(self) -> list[tuple[Any, Any]]:
        return [
            (connection, subflow)
            for connection in self._network.stack.connections
            for subflow in connection.subflows
            if subflow.local_id == SECOND
        ]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
