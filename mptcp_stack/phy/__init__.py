"""Devices: where packets enter and leave. Each declares what it can do; wrappers add what it cannot."""

from .device import MAX_IP_BYTES, Capabilities, Device
from .memory import NO_OFFLOADS, OFFLOADS, MemoryDevice, memory_pair
from .offload import SoftwareOffload
from .pcap import PcapTap, PcapWriter, wire_form
from .tun import Tun

__all__ = [
    "MAX_IP_BYTES",
    "NO_OFFLOADS",
    "OFFLOADS",
    "Capabilities",
    "Device",
    "MemoryDevice",
    "PcapTap",
    "PcapWriter",
    "SoftwareOffload",
    "Tun",
    "memory_pair",
    "wire_form",
]
