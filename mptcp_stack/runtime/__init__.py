"""The stack for applications: an asyncio event loop, blocking sockets, and the host's side of the network.

Rules:

1. A stack has one thread, that of its event loop. Its connections, its driver and its socket options are used from
   there alone; other threads ask with `loop.call_soon_threadsafe`, or have a blocking socket, which does so for them.
2. Who does something to a connection calls `Driver.wake`: nothing is sent before.
3. A connection has one handler, which is told of its end once and of nothing after it.
4. No exception ends the loop: it ends the connection it came from. A device that has gone ends all of them.
5. Imports go down: commands, proxy and blocking, aio, socket_options, driver, network, host.

How it works. A `Network` is a stack and the device it sends and receives on; `HostNetwork` makes the device, a TUN
device with the host's kernel as its router. The `Driver` runs a network on a loop, by turns:

    the device is readable, or the deadline has come    Stack.receive, Stack.handle_timers
    for each of the stack's events                      the handler of its connection, in the context it was attached in
    then, and when the loop is about to wait            Stack.transmit, Device.send

So what handlers write in answer to a batch of packets leaves in one batch, together with the acknowledgements. A
handler is a transport (aio), the network's side of a blocking socket (blocking), or an attempt to connect before there
is either.

The end, in this order: the loop closes every connection and waits until they have delivered what was written
(`linger_s`); the driver resets what is left and lets go of the loop; the network closes its device, and with it what
was done to the host is undone. A transport or socket dies before its connection: the stack brings that to its end.
"""

from .aio.event_loop import EventLoop, run
from .blame import blamed, check_class, is_users, place_of
from .blocking.sockets import Socket, SocketNetwork
from .blocking.tls_sockets import TlsSocket
from .config import ConfigError, HostAddress, NetworkConfig
from .host.host_network import HostNetwork
from .network import Network
from .proxy import MODES as PROXY_MODES
from .proxy import Proxy, Target
from .settings import check_plugin, parse_settings
from .socket_options.options import (
    TCP_IS_MPTCP,
    TCP_MULTIPATH_ADD,
    TCP_MULTIPATH_CONNID,
    TCP_MULTIPATH_ENABLE,
    TCP_MULTIPATH_PATH_MANAGER,
    TCP_MULTIPATH_REMOVE,
    TCP_MULTIPATH_SCHEDULER,
    TCP_MULTIPATH_SETTING,
    TCP_MULTIPATH_SUBFLOWS,
    connection_settings,
)

__all__ = [
    "PROXY_MODES",
    "TCP_IS_MPTCP",
    "TCP_MULTIPATH_ADD",
    "TCP_MULTIPATH_CONNID",
    "TCP_MULTIPATH_ENABLE",
    "TCP_MULTIPATH_PATH_MANAGER",
    "TCP_MULTIPATH_REMOVE",
    "TCP_MULTIPATH_SCHEDULER",
    "TCP_MULTIPATH_SETTING",
    "TCP_MULTIPATH_SUBFLOWS",
    "ConfigError",
    "EventLoop",
    "HostAddress",
    "HostNetwork",
    "Network",
    "NetworkConfig",
    "Proxy",
    "Socket",
    "SocketNetwork",
    "Target",
    "TlsSocket",
    "blamed",
    "check_class",
    "check_plugin",
    "connection_settings",
    "is_users",
    "parse_settings",
    "place_of",
    "run",
]
