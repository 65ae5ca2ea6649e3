"""Devices: where packets enter and leave. Each declares what it can do; wrappers add what it cannot."""

from .device import GONE, MAX_IP_BYTES, Capabilities, Device
from .memory import NO_OFFLOADS, OFFLOADS, MemoryDevice, memory_pair
from .offload import SoftwareOffload
from .pcap import PcapWriter, wire_form
from .tap import Tap
from .trace import describe, tracer
from .tun import Tun

__all__ = [
    "GONE",
    "MAX_IP_BYTES",
    "NO_OFFLOADS",
    "OFFLOADS",
    "Capabilities",
    "Device",
    "MemoryDevice",
    "PcapWriter",
    "SoftwareOffload",
    "Tap",
    "Tun",
    "describe",
    "memory_pair",
    "tracer",
    "wire_form",
]
