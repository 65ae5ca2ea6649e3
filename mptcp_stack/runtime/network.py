"""A stack with the device it sends and receives on."""

from __future__ import annotations

import logging
import random
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from mptcp_stack.observe import as_json
from mptcp_stack.phy import Device, PcapWriter, SoftwareOffload, Tap, tracer
from mptcp_stack.runtime.entropy import BlockRandom
from mptcp_stack.runtime.host.address_monitor import AddressMonitor
from mptcp_stack.runtime.host.host_network import HostNetwork
from mptcp_stack.stack import Address, Connection, Stack, StackConfig

from .config import ConfigError, NetworkConfig

logger = logging.getLogger("mptcp_stack")

SocketAddress = tuple[Any, ...]
"""(host, port) or, for IPv6, (host, port, flow information, scope)."""


class Network:
    """A stack on a device; an event loop drives it.

    `batch_packets` and `linger_s` are those of `NetworkConfig`. Closing the network closes the device.
    `address_monitor` watches the stack's addresses, None where they cannot go.
    """

    def __init__(
        self,
        stack_config: StackConfig,
        device: Device,
        *,
        batch_packets: int = NetworkConfig.batch_packets,
        linger_s: float = NetworkConfig.linger_s,
        random_source: random.Random | None = None,
    ) -> None:
        able = device.capabilities
        if not (able.checksum_offload and able.segmentation_offload):
            device = SoftwareOffload(device)
        self.device = device
        self.batch_packets = batch_packets
        self.linger_s = linger_s
        # Keys and sequence numbers must not be guessed: by default they come from the kernel.
        entropy = BlockRandom() if random_source is None else random_source
        try:
            self.stack = Stack(replace(stack_config, mtu=able.mtu), entropy)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self.address_monitor: AddressMonitor | None = None
        self._resources = ExitStack()
        self._resources.callback(device.close)

    @classmethod
    def open(cls, config: NetworkConfig) -> Network:
        """A new TUN device on this host. Raises what `HostNetwork` raises, OSError when `pcap` cannot be written."""
        with ExitStack() as resources:
            host = resources.enter_context(HostNetwork(config))
            device: Device = host.tun
            if config.pcap is not None:
                writer = resources.enter_context(PcapWriter(config.pcap))
                device = Tap(device, _while_it_works(writer.observe, f"the capture {config.pcap}"))
            if config.trace is not None:
                device = Tap(device, _while_it_works(tracer(config.trace), "the trace"))
            network = cls(config.stack_config(), device, batch_packets=config.batch_packets, linger_s=config.linger_s)
            if config.events is not None:
                lines = resources.enter_context(config.events.open("w"))
                observe = _while_it_works(lambda what: print(as_json(what), file=lines), f"{config.events}")
                network.stack.observe(observe)
            network.address_monitor = host.address_monitor
            for address in host.address_monitor.absent:
                network.stack.remove_address(address.ip.packed, now=0)
            network._resources.push(resources.pop_all())
        return network

    @property
    def counters(self) -> Counter[str]:
        """Counts of what happened, under the names of the kernel's MIB where it has one."""
        return self.stack.counters

    def connections(self) -> list[dict[str, object]]:
        """What `mptcp_info` says of every connection that is not over yet."""
        return [mptcp_info(connection) for connection in self.stack.connections]

    def close(self) -> None:
        """Close the device, and undo what `open` did to the host. May be called again."""
        self._resources.close()


def _while_it_works(write: Callable[..., object], what: str) -> Callable[..., None]:
    """`write` until it fails, which the log says (a full disk): who looks on must not end what he looks at."""
    works = True

    def attempt(*arguments: Any) -> None:
        nonlocal works
        if works:
            try:
                write(*arguments)
            except Exception as problem:
                works = False
                logger.error("%s ends here: %s", what, problem)

    return attempt


def packed_address(host: str, port: int) -> Address:
    """An IP address in text and a port as the stack wants them; "" stands for every address (see `Address`).

    An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is the IPv4 address. Raises ValueError.
    """
    if not host:
        return Address(b"", port)
    return Address(ip_address(host).packed, port).unmapped


def socket_address(address: Address) -> SocketAddress:
    """An address as the socket module gives it: two items for IPv4, four for IPv6."""
    if not address.ip:
        return ("0.0.0.0", address.port)
    text = str(ip_address(address.ip))
    return (text, address.port) if len(address.ip) == 4 else (text, address.port, 0, 0)


def family_of(address: SocketAddress) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def mptcp_info(connection: Connection) -> dict[str, object]:
    """What `transport.get_extra_info("mptcp")` gives: whether MPTCP is spoken, and the state of every subflow."""
    return {
        "is_mptcp": connection.is_mptcp,
        "token": connection.id,
        "subflows": [
            {
                "local": socket_address(subflow.local),
                "remote": socket_address(subflow.remote),
                "state": str(subflow.endpoint.state),
                "backup": subflow.backup,
                "srtt_ns": subflow.srtt_ns,
                "cwnd_bytes": subflow.cwnd_bytes,
                "in_flight_bytes": subflow.in_flight_bytes,
                "bytes_sent": subflow.bytes_sent,
                "bytes_received": subflow.bytes_received,
            }
            for subflow in connection.subflows
        ],
    }
