"""An asyncio event loop whose connections run over a stack of our own instead of the kernel's."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl as tls_module
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from ipaddress import ip_address
from itertools import zip_longest
from typing import IO, Any, Final, TypeVar

from typing_extensions import override

from mptcp_stack.runtime.config import NetworkConfig
from mptcp_stack.runtime.driven_loop import DrivenLoop
from mptcp_stack.runtime.driver import Driver
from mptcp_stack.runtime.network import Network, packed_address
from mptcp_stack.stack import Address

from .connecting import ProtocolFactory, Tls, Transports, Way, open_stream
from .process import tune_process
from .server import Server

Result = TypeVar("Result")
Hosts = str | Sequence[str] | None
_FAMILIES: Final = {4: socket.AF_INET, 16: socket.AF_INET6}
"""By length of an address."""


class EventLoop(DrivenLoop):
    """`create_connection` and `create_server`, and so everything built upon them, use the network's stack.

    The kernel keeps what belongs to it: loopback and Unix addresses, sockets given as `sock`, datagrams, pipes,
    processes. Names are resolved by the kernel's resolver.

    Made from a `NetworkConfig` it opens a TUN device and raises what `Network.open` raises; a `Network` is taken over.
    Closing the loop closes all connections, waits until they have delivered what was written (`linger_s`), and closes
    the network.
    """

    def __init__(self, network: Network | NetworkConfig) -> None:
        super().__init__()
        tune_process()
        try:
            self.network = Network.open(network) if isinstance(network, NetworkConfig) else network
        except BaseException:
            super().close()
            raise
        self.driver = Driver(self, self.network)

    @override
    def close(self) -> None:
        with ExitStack() as steps:
            steps.callback(super().close)
            if not self.is_closed() and not self.is_running():
                steps.callback(self.network.close)
                steps.callback(self.driver.close)
                self.run_until_complete(self.driver.drain())

    @property
    def counters(self) -> Counter[str]:
        """The network's counters."""
        return self.network.counters

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | None = None,
        port: int | str | None = None,
        *,
        ssl: tls_module.SSLContext | bool | None = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> Transports:
        """Connect as asyncio; `connection_settings` says which settings it has beside those of the network."""
        if server_hostname is not None and not ssl:
            raise ValueError("server_hostname is only meaningful with ssl")
        if ssl and server_hostname is None and not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        _check_tls_times(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        remotes = [] if sock is not None or not host else await self._resolve(host, port, family, flags, "connect")
        if not remotes or any(_is_kernels(remote) or not remote.specific for remote in remotes):
            kernels: Any = super()
            return await kernels.create_connection(  # type: ignore[no-any-return]
                protocol_factory, host, port, ssl=ssl, family=family, proto=proto, flags=flags, sock=sock,
                local_addr=local_addr, server_hostname=server_hostname, ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout, happy_eyeballs_delay=happy_eyeballs_delay,
                interleave=interleave, **({"all_errors": True} if all_errors else {}),
            )  # fmt: skip
        name = host if server_hostname is None else server_hostname
        tls = _tls(ssl, False, name, ssl_handshake_timeout, ssl_shutdown_timeout)
        if interleave is None:
            interleave = 0 if happy_eyeballs_delay is None else 1
        ways = await self._ways(_interleaved(remotes, interleave), local_addr, family, flags)
        return await open_stream(self.driver, protocol_factory, ways, tls, happy_eyeballs_delay, all_errors)

    async def sendfile(
        self,
        transport: asyncio.WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send as asyncio. It begins at `offset`, also where the file was read before.

        asyncio's own way for transports that are not the kernel's (TLS over the kernel's among them) seeks only to an
        `offset` that is not 0.
        """
        if not transport.is_closing() and hasattr(file, "seek"):
            file.seek(offset)
        return await super().sendfile(transport, file, offset, count, fallback=fallback)

    async def _ways(
        self, remotes: list[Address], local_addr: tuple[str, int] | None, family: int, flags: int
    ) -> list[Way]:
        """Each remote with the first local address of its family. Raises OSError when there is none for any."""
        if local_addr is None:
            return [(remote, None) for remote in remotes]
        locals_ = await self._resolve(*local_addr, family, flags, "bind")
        by_family = {len(local.ip): local for local in reversed(locals_)}
        ways: list[Way] = [(remote, by_family[len(remote.ip)]) for remote in remotes if len(remote.ip) in by_family]
        if not ways:
            raise OSError(errno.EADDRNOTAVAIL, f"no local address of the family of the remote one in {local_addr}")
        return ways

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: Hosts = None,
        port: int | str | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: tls_module.SSLContext | None = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        keep_alive: bool | None = None,
    ) -> asyncio.AbstractServer:
        """Listen as asyncio. Without a host on every address of the stack, and on none of the kernel's.

        That is one socket for each family that the stack has, or for `family`. A specific host is the only address that
        subflows may use. An address can be taken again at once, also without `reuse_address`; `reuse_port` is not
        supported.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        _check_tls_times(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        given = sock is None and not (host is None and port is None)
        locals_ = await self._listening_addresses(host, port, family, flags) if given else []
        if not locals_ or any(_is_kernels(local) for local in locals_):
            kernels: Any = super()
            return await kernels.create_server(  # type: ignore[no-any-return]
                protocol_factory, host, port, family=family, flags=flags, sock=sock, backlog=backlog, ssl=ssl,
                reuse_address=reuse_address, reuse_port=reuse_port, ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout, start_serving=start_serving,
                **({} if keep_alive is None else {"keep_alive": keep_alive}),
            )  # fmt: skip
        if reuse_port:
            raise ValueError("reuse_port is not supported by this stack")
        tls = _tls(ssl, True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
        server = Server(self, self.driver, locals_, protocol_factory, backlog, tls)
        if start_serving:
            server.listen()
        return server

    async def _listening_addresses(self, host: Hosts, port: int | str | None, family: int, flags: int) -> list[Address]:
        hosts = [host] if host is None or isinstance(host, str) else host
        found: list[Address] = []
        for name in hosts:
            found += await self._resolve(name, port, family, flags, "bind")
        return list(dict.fromkeys(found))

    async def _resolve(
        self, host: str | bytes | None, port: int | str | bytes | None, family: int, flags: int, call: str
    ) -> list[Address]:
        """Addresses of a host, in the resolver's order; without a host those that stand for all of a family.

        `port`: a number or a service's name. Raises OSError (socket.gaierror), OverflowError.
        """
        name = host.decode("idna") if isinstance(host, bytes) else host
        try:
            number = int(port or 0)
        except (TypeError, ValueError):
            entries = await self.getaddrinfo(None, port, family=family, type=socket.SOCK_STREAM, flags=flags)
            number = int(entries[0][4][1])
        if not 0 <= number <= 0xFFFF:
            raise OverflowError(f"{call}(): port must be 0-65535.")
        if not name:
            return [Address(ip, number) for ip in self._wildcards(family)]
        try:
            address = packed_address(name, number)
        except ValueError:
            pass
        else:
            if family in (socket.AF_UNSPEC, _FAMILIES[len(address.ip)]):
                return [address]
        found = await self.getaddrinfo(name, number, family=family, type=socket.SOCK_STREAM, flags=flags)
        if not found:
            raise OSError(errno.EADDRNOTAVAIL, f"{name} has no address")
        return [packed_address(str(entry[4][0]), number) for entry in found]

    def _wildcards(self, family: int) -> list[bytes]:
        """The unspecified address of a family, or of each that the stack has addresses of."""
        stack = self.network.stack
        lengths = {len(address.ip) for address in (*stack.config.addresses, *stack.addresses)}
        return [
            bytes(length)
            for length, known in _FAMILIES.items()
            if family == known or (family == socket.AF_UNSPEC and length in lengths)
        ]


def run(main: Coroutine[Any, Any, Result], config: NetworkConfig, *, debug: bool | None = None) -> Result:
    """`asyncio.run` over a stack of our own. Raises what `EventLoop` and `main` raise."""
    try:
        with asyncio.Runner(debug=debug, loop_factory=lambda: EventLoop(config)) as runner:
            return runner.run(main)
    finally:
        # Without effect unless there was no loop to run it.
        main.close()


def _is_kernels(address: Address) -> bool:
    return bool(address.ip) and ip_address(address.ip).is_loopback


def _interleaved(addresses: list[Address], first: int) -> list[Address]:
    """Addresses of both families by turns, after `first` of the first one's (RFC 8305 section 4); 0: as they are."""
    if not first:
        return addresses
    family = len(addresses[0].ip)
    preferred = [address for address in addresses if len(address.ip) == family]
    others = [address for address in addresses if len(address.ip) != family]
    head, tail = preferred[: first - 1], preferred[first - 1 :]
    turns = [address for pair in zip_longest(tail, others) for address in pair if address is not None]
    return head + turns


def _check_tls_times(ssl: object, handshake: float | None, shutdown: float | None) -> None:
    """The mistakes that asyncio reports, too."""
    for name, time in (("ssl_handshake_timeout", handshake), ("ssl_shutdown_timeout", shutdown)):
        if time is not None and not ssl:
            raise ValueError(f"{name} is only meaningful with ssl")


def _tls(
    ssl: tls_module.SSLContext | bool | None,
    server_side: bool,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> Tls | None:
    if not ssl:
        return None
    context = ssl if isinstance(ssl, tls_module.SSLContext) else tls_module.create_default_context()
    return Tls(context, server_side, server_hostname, handshake_timeout, shutdown_timeout)
