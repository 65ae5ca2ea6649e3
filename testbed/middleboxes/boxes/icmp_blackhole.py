"""A smaller MTU that nobody is told of: too large packets vanish, and so does every ICMP error."""

from pydantic import Field

from testbed.middleboxes.base import Directed, Middlebox, Passage
from testbed.middleboxes.packet import ICMP, ICMPV6, Packet, Segment, Traffic
from testbed.units import Octets

# Without neighbour discovery (RFC 4861) there is no IPv6 on a link at all.
_NEIGHBOUR_DISCOVERY = range(133, 138)


class Parameters(Directed):
    """`mtu`: IP packets beyond it are dropped. `icmp`: whether ICMP passes."""

    mtu_bytes: Octets = Field(default=1400, alias="mtu")
    icmp: bool = False


class IcmpBlackhole(Middlebox[Parameters]):
    """Packets of at most the MTU, and no ICMP."""

    parameters_model = Parameters

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        return self._fitting(segment, direction)

    def on_packet(self, packet: Packet, direction: int, now_ns: int) -> Passage:
        discovery = packet.protocol == ICMPV6 and packet.body[:1] and packet.body[0] in _NEIGHBOUR_DISCOVERY
        if packet.protocol in (ICMP, ICMPV6) and not discovery and not self.parameters.icmp:
            return []
        return self._fitting(packet, direction)

    def _fitting(self, traffic: Traffic, direction: int) -> Passage:
        return [(direction, traffic)] if traffic.ip_bytes <= self.parameters.mtu_bytes else []
