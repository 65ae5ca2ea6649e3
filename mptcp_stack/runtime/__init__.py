"""The stack for applications: an asyncio event loop, blocking sockets, and the host's side of the network."""

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
