"""Merging received packets into super-segments, as Linux's GRO does before a TUN device reads them."""

from mptcp_stack.wire import ACK, PSH, Checksum, Packet, Segment, WireError, decode

_LONGEST_PACKET = 65535


class _Burst:
    """Packets of one flow that continue each other."""

    def __init__(self, packet: bytes, segment: Segment) -> None:
        self.packets = [packet]
        self.first = segment
        self.length = len(packet)
        self.open = _is_plain_data(segment) and not segment.flags & PSH

    def take(self, packet: bytes, segment: Segment) -> bool:
        """Add a packet if it continues the burst exactly."""
        first = self.first
        size = first.length
        continues = (
            self.open
            and _is_plain_data(segment)
            and segment.length <= size
            and self.length + segment.length <= _LONGEST_PACKET
            and segment.seq == (first.seq + len(self.packets) * size) & 0xFFFFFFFF
            and (segment.ack, segment.window, segment.ecn) == (first.ack, first.window, first.ecn)
            and segment.options == first.options
        )
        if continues:
            self.packets.append(packet)
            self.length += segment.length
        self.open = continues and segment.length == size and not segment.flags & PSH
        return continues

    def packet(self) -> Packet:
        """One packet for all; its checksum was verified."""
        if len(self.packets) == 1:
            return Packet(self.packets, checksum=Checksum.VALID)
        start = len(self.packets[0]) - self.first.length
        payload = [memoryview(packet)[start:] for packet in self.packets]
        whole = Segment(
            **{name: getattr(self.first, name) for name in ("src", "dst", "sport", "dport", "seq", "ack")},
        )
        return Packet([whole], gso_size=self.first.length, checksum=Checksum.VALID)


def coalesce(packets: list[bytes]) -> list[Packet]:
    """Packets that arrived together; runs of one flow become one super-segment each.

    Merged are segments with payload, no flag but ACK and PSH, and equal acknowledgement, window and options,
    in order and of equal size (the last may be shorter). A malformed packet stays as it is.
    """
    bursts: list[_Burst | Packet] = []
    open_bursts: dict[bytes, _Burst] = {}
    for packet in packets:
        try:
            segment = decode(Packet([packet]))
        except WireError:
            bursts.append(Packet([packet]))
            continue
        burst = open_bursts.get(segment.flow)
        if burst is None or not burst.take(packet, segment):
            open_bursts[segment.flow] = burst = _Burst(packet, segment)
            bursts.append(burst)
    return [burst.packet() if isinstance(burst, _Burst) else burst for burst in bursts]


def _is_plain_data(segment: Segment) -> bool:
    return segment.length > 0 and segment.flags & ~PSH == ACK
