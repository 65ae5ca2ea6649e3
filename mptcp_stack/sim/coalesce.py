"""Merging received packets into super-segments, as Linux's GRO does before a TUN device reads them."""

from dataclasses import replace

from mptcp_stack.wire import (
    ACK,
    MAX_PACKET_LENGTH,
    PSH,
    Checksum,
    Packet,
    Segment,
    WireError,
    decode,
    encode,
)


class _Burst:
    """Packets of one flow that continue each other."""

    def __init__(self, packet: bytes, segment: Segment) -> None:
        self._first = segment
        self._packet = packet
        self._payload = list(segment.payload)
        self._count = 1
        self._length = len(packet)
        self._open = _is_plain_data(segment) and not segment.flags & PSH
        self._flags = segment.flags

    def take(self, segment: Segment) -> bool:
        """Add a segment if it continues the burst exactly."""
        first = self._first
        size = first.length
        continues = (
            self._open
            and _is_plain_data(segment)
            and segment.length <= size
            and self._length + segment.length <= MAX_PACKET_LENGTH
            and segment.seq == (first.seq + self._count * size) & 0xFFFFFFFF
            and (segment.ack, segment.window, segment.ecn) == (first.ack, first.window, first.ecn)
            and segment.options == first.options
        )
        if continues:
            self._payload += segment.payload
            self._count += 1
            self._length += segment.length
            self._flags |= segment.flags
        self._open = continues and segment.length == size and not segment.flags & PSH
        return continues

    def packet(self) -> Packet:
        """One packet for all; the checksums were verified."""
        if self._count == 1:
            return Packet([self._packet], checksum=Checksum.VALID)
        size = self._first.length
        length = sum(map(len, self._payload))
        whole = replace(self._first, flags=self._flags, payload=self._payload, length=length, gso_size=size)
        return Packet([b"".join(encode(whole).parts)], gso_size=size, checksum=Checksum.PARTIAL)


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
        if burst is None or not burst.take(segment):
            open_bursts[segment.flow] = burst = _Burst(packet, segment)
            bursts.append(burst)
    return [burst.packet() if isinstance(burst, _Burst) else burst for burst in bursts]


def _is_plain_data(segment: Segment) -> bool:
    return segment.length > 0 and segment.flags & ~PSH == ACK
