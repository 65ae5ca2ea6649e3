"""The application faces put in the place of what foreign code gets from the standard library.

`install(NAME)` is called before any of that code is imported. Names that hold a class of the library by then are of the
library itself, and meant to.
"""

import asyncio
import socket
import ssl
import sys
import threading
from asyncio import unix_events
from collections.abc import Callable
from functools import wraps
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from types import CodeType
from typing import Any
from weakref import WeakSet

from mptcp_stack.runtime import EventLoop, NetworkConfig, Socket, SocketNetwork, TlsSocket
from mptcp_stack.runtime.blocking.network_side import network_side_of

from .addresses import OURS, OURS_6, PREFIXES, found, kernels_own, translated

CONFIG = NetworkConfig(addresses=[f"{ip}/{length}" for ip, length in PREFIXES.items()], linger_s=1.0)
SECOND = NetworkConfig(addresses=["10.0.1.102/24", "fd00:1::102/64"], linger_s=1.0)
"""For the event loop, where a network of blocking sockets has the other addresses."""
SPARE = NetworkConfig(addresses=["10.0.1.103/24", "fd00:1::103/64"], linger_s=1.0)


def while_a_loop_runs(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call that waits in the thread of a loop of ours that stands still: a peer in the kernel would answer then."""

    @wraps(call)
    def wait(self: socket.socket, *args: Any) -> Any:
        loop = next((loop for loop in LOOPS if not loop.is_closed()), None)
        if loop is None or loop.is_running() or self.gettimeout() == 0 or loop.thread != threading.get_ident():
            return call(self, *args)
        done: asyncio.Future[Any] = loop.create_future()

        def step() -> None:
            try:
                loop.call_soon_threadsafe(done.set_result, call(self, *args))
            except BaseException as problem:
                loop.call_soon_threadsafe(done.set_exception, problem)

        threading.Thread(target=step).start()
        return loop.run_until_complete(done)

    return wait


class KernelSocket(socket.socket):
    """The library's, which takes the kernel's address when ours is asked for."""

    bind = kernels_own(socket.socket.bind)  # type: ignore[assignment]
    recv = while_a_loop_runs(socket.socket.recv)  # type: ignore[assignment]

    @while_a_loop_runs
    def connect(self, address: Any) -> None:
        super().connect(found(address))


class SocketName:
    """What `socket.socket` stands for: TCP sockets of a network, all other ones the kernel's."""

    def __init__(self, network: SocketNetwork) -> None:
        self._network = network

    def __call__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> socket.socket:
        if fileno is not None:
            ours = isinstance(fileno, int) and fileno >= 0 and network_side_of(fileno) is not None
            return (Socket if ours else KernelSocket)(family, type, proto, fileno)
        kind = type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) if type != -1 else socket.SOCK_STREAM
        tcp = family in (-1, socket.AF_INET, socket.AF_INET6) and kind == socket.SOCK_STREAM
        if not tcp or proto not in (-1, 0, socket.IPPROTO_TCP):
            return KernelSocket(family, type, proto)
        return self._network.socket(family, type, proto)

    def __getattr__(self, name: str) -> Any:
        return getattr(KernelSocket, name)

    def __mro_entries__(self, bases: object) -> tuple[type, ...]:
        return (KernelSocket,)

    def __instancecheck__(self, one: object) -> bool:
        return isinstance(one, KernelSocket.__mro__[1])

    def __subclasscheck__(self, one: type) -> bool:
        return issubclass(one, KernelSocket.__mro__[1])


class TlsName:
    """What a context makes of a socket: ours of ours."""

    @staticmethod
    def _create(sock: socket.socket, *args: Any, **named: Any) -> ssl.SSLSocket:
        made: Any = TlsSocket if isinstance(sock, Socket) else ssl.SSLSocket
        return made._create(sock, *args, **named)  # type: ignore[no-any-return]


class Loop(EventLoop):
    """Made as asyncio's are, with a selector or without."""

    config = CONFIG
    __module__ = "asyncio.unix_events"  # uvloop's tests take it for one of asyncio's by that

    def __init__(self, selector: object = None) -> None:
        self.thread = threading.get_ident()
        LOOPS.add(self)
        try:
            super().__init__(self.config)
        except FileExistsError:  # there is another loop
            super().__init__(SPARE)

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **named: Any) -> Any:
        """To the kernel's address where that has the port."""
        host, port = found((host, port))
        return await super().create_connection(factory, host, port, **named)


LOOPS: WeakSet[Loop] = WeakSet()


def _blocking() -> None:
    network = SocketNetwork(CONFIG)
    create_server = socket.create_server

    def serve(address: Any, **named: Any) -> socket.socket:
        ours = named.get("family", socket.AF_INET) in (socket.AF_INET, socket.AF_INET6)
        return network.create_server(address, **named) if ours else create_server(address, **named)

    socket.socket = SocketName(network)  # type: ignore[misc,assignment]
    socket.create_connection = network.create_connection  # type: ignore[assignment]
    socket.create_server = serve
    ssl.SSLContext.sslsocket_class = TlsName  # type: ignore[assignment]


def _asyncio() -> None:
    if not isinstance(socket.socket, SocketName):
        socket.socket = KernelSocket  # type: ignore[misc]
    for module in (asyncio, unix_events):
        for name in ("SelectorEventLoop", "_UnixSelectorEventLoop"):
            if hasattr(module, name):
                setattr(module, name, Loop)
    asyncio.DefaultEventLoopPolicy._loop_factory = Loop  # type: ignore[attr-defined]


def _both() -> None:
    Loop.config = SECOND
    _blocking()
    _asyncio()


FACES: dict[str, Callable[[], None] | None] = {
    "blocking": _blocking,
    "asyncio": _asyncio,
    "both": _both,
    "kernel": None,
}


class _Translating(SourceFileLoader):
    """Reads a module's source with our addresses in it; what was compiled before is no help."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(translated(self.get_data(path)), path)


def install(face: str, folders: tuple[str, ...]) -> None:
    """Put a face into its place; the programs in `folders` get its addresses, too."""
    put = FACES[face]
    if put is None:
        return
    put()
    finder = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), (_Translating, [".py"]))

    def hook(path: str) -> FileFinder:
        if not path.startswith(folders):
            raise ImportError
        return finder(path)

    sys.path_hooks.insert(0, hook)
    for path in [path for path in sys.path_importer_cache if path.startswith(folders)]:
        del sys.path_importer_cache[path]


__all__ = ["FACES", "OURS", "OURS_6", "install"]
