"""Clears the ECN field of IP headers, as old routers do that take it for a part of the type of service."""

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import CWR, ECE, SYN, Packet, Segment, Traffic, ecn, with_ecn


class Parameters(Directed):
    """`handshake`: whether ECE and CWR are cleared in SYNs as well, so that ECN is never agreed upon."""

    handshake: bool = False


class EcnBleach(Middlebox[Parameters]):
    """Packets without ECT and CE marks."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        if self.parameters.handshake and segment.flags & SYN and segment.flags & (ECE | CWR):
            segment = segment.changed(flags=segment.flags & ~(ECE | CWR))
        return self._bleached(segment, direction)

    def on_packet(self, packet: Packet, direction: int, now_ns: int) -> Passage:
        return self._bleached(packet, direction)

    @staticmethod
    def _bleached(traffic: Traffic, direction: int) -> Passage:
        if not ecn(traffic.ip):
            return [(direction, traffic)]
        return [(direction, traffic.changed(ip=with_ecn(traffic.ip, 0)))]
