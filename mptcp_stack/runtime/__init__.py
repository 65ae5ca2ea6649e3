"""The stack for applications: an asyncio event loop, blocking sockets, and the host's side of the network."""

from .config import ConfigError, HostAddress, NetworkConfig
from .event_loop import EventLoop, run
from .host_network import HostNetwork
from .network import Network
from .settings import parse_settings
from .sockets import Socket, SocketNetwork

__all__ = [
    "ConfigError",
    "EventLoop",
    "HostAddress",
    "HostNetwork",
    "Network",
    "NetworkConfig",
    "Socket",
    "SocketNetwork",
    "parse_settings",
    "run",
]
