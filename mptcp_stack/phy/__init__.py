"""Devices: where packets enter and leave. Each declares what it can do; wrappers add what it cannot.

Rules:

1. A device never waits: ``receive`` gives what is there, ``send`` says how many packets it took, and the rest is lost
   as in the full queue of a network card. Who wants to wait does so on ``fileno``.
2. Below the stack a packet may be a super-segment without a checksum. What a device cannot do by itself, as its
   ``Capabilities`` say, `SoftwareOffload` does before it.
3. A device that has gone raises OSError of `GONE`; anything else may pass.

How it works. `Tun` is an interface of the Linux kernel, one read or write a super-segment; `memory_pair` two ends of a
cable in memory. Around either: `SoftwareOffload`, and `Tap`, which shows every packet to an observer, `PcapWriter` for
Wireshark or `tracer` for reading along.
"""

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
