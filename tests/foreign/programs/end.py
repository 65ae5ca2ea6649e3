"""One end of a program, in a process of its own: started by `tests.foreign.programs`.

    python -m tests.foreign.programs.end PROGRAM FACE OWN_ADDRESSES HOST PORT TLS FOLDER

PROGRAM is `module.function`, FACE one of `kernel`, `asyncio`, `blocking` and `descriptors`: blocking sockets given to
asyncio's own event loop.
"""

import asyncio
import inspect
import socket
import ssl
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from mptcp_stack.runtime import EventLoop, NetworkConfig, SocketNetwork
from tests.foreign.faces import SocketName, TlsName

from .place import Place


def main() -> None:
    """See the module."""
    program, face, own, host, port, tls, folder = sys.argv[1:]
    module, _, name = program.rpartition(".")
    side = getattr(import_module(f"tests.foreign.programs.{module}"), name)
    place = Place(host, int(port), tls == "tls", Path(folder))
    begin = time.monotonic()
    said, carried = FACES[face](side, place, NetworkConfig(addresses=own.split(",")))
    print(f"{time.monotonic() - begin:.2f} {carried} {said or ''}", flush=True)


def use(side: Any, place: Place) -> Any:
    """Call it, whatever it is."""
    return asyncio.run(side(place)) if inspect.iscoroutinefunction(side) else side(place)


def over_kernel(side: Any, place: Place, config: NetworkConfig) -> tuple[Any, int]:
    """As it is."""
    return use(side, place), 0


def over_asyncio(side: Any, place: Place, config: NetworkConfig) -> tuple[Any, int]:
    """On our event loop."""
    with asyncio.Runner(loop_factory=lambda: EventLoop(config)) as runner:
        said = runner.run(side(place))
        loop = runner.get_loop()
        assert isinstance(loop, EventLoop)
        return said, segments(loop)


def over_sockets(side: Any, place: Place, config: NetworkConfig) -> tuple[Any, int]:
    """With our blocking sockets for those of the library; asyncio, where it comes in, is its own."""
    with SocketNetwork(config) as network:
        socket.socket = SocketName(network)  # type: ignore[misc,assignment]
        socket.create_connection = network.create_connection  # type: ignore[assignment]
        ssl.SSLContext.sslsocket_class = TlsName  # type: ignore[assignment]
        return use(side, place), segments(network.loop)


def segments(loop: EventLoop) -> int:
    """How many the stack got: none when something else was used."""
    return loop.counters["TcpInSegs"]


FACES = {"kernel": over_kernel, "asyncio": over_asyncio, "blocking": over_sockets, "descriptors": over_sockets}


if __name__ == "__main__":
    main()
