"""Answering a SYN before there is an endpoint for it (RFC 9293 section 3.10.7.2).

A listener keeps the SYN and a few numbers, or nothing at all, until the third segment of the handshake comes. Only then
is an endpoint made (``Endpoint.resume_passive``), so that a flood of forged SYNs costs little.
"""

from typing import Final

from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp.context import Context, timestamp
from mptcp_stack.tcp.ecn import SETUP_SYN_ACK, accepts_ecn
from mptcp_stack.wire import ACK, SYN, Options, Segment

DEFAULT_PEER_MSS: Final = {4: 536, 16: 1220}
"""By the length of an address (RFC 9293 section 3.7.1)."""
MINIMUM_PEER_MSS: Final = 88
"""A smaller offer would leave no payload beside 40 bytes of options; Linux draws the same line."""


def peer_mss(syn: Segment) -> int:
    """The largest segment that the sender of a SYN takes (RFC 9293 section 3.7.1)."""
    return max(syn.options.mss or DEFAULT_PEER_MSS[len(syn.src)], MINIMUM_PEER_MSS)


def remember(syn: Segment) -> Segment:
    """Let go of what keeps the received packet in memory; data on a SYN is not taken (RFC 9293 section 3.4)."""
    syn.payload = []
    syn.length = syn.gso_size = 0
    return syn


def syn_ack(context: Context, syn: Segment, iss: int, now: int) -> Segment:
    """The SYN/ACK for a SYN, with the options of TCP that both sides can use."""
    config = context.config
    offered = syn.options
    options = Options(mss=context.local_mss(syn.dst), sack_permitted=config.sack and offered.sack_permitted)
    if offered.window_scale is not None:
        options.window_scale = context.window_scale
    if config.timestamps and offered.ts_val is not None:
        options.ts_val = timestamp(context.timestamp_offset(syn.dst + syn.src), now)
        options.ts_ecr = offered.ts_val
    window = min(config.receive_buffer_bytes, 65535)
    ack = (syn.seq + 1) & MASK_32
    flags = SYN | ACK | (SETUP_SYN_ACK if accepts_ecn(config, syn) else 0)
    segment = Segment.answering(syn, seq=iss, ack=ack, flags=flags, options=options)
    segment.window = window
    # What errors say of its path nobody would remember, and with MPTCP it may be 80 bytes.
    segment.whole = False
    return segment
