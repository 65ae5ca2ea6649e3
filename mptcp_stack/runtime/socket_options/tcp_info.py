"""TCP_INFO: the state of a connection's first subflow in the layout of Linux's `struct tcp_info`."""

from __future__ import annotations

import struct
from typing import Final

from mptcp_stack.stack import Connection
from mptcp_stack.tcp import Endpoint, State

_LAYOUT: Final = struct.Struct("=8B24I")

# From net/tcp_states.h.
_LINUX_STATES: Final = {
    State.CLOSED: 7,
    State.SYN_SENT: 2,
    State.SYN_RECEIVED: 3,
    State.ESTABLISHED: 1,
    State.FIN_WAIT_1: 4,
    State.FIN_WAIT_2: 5,
    State.CLOSE_WAIT: 8,
    State.CLOSING: 11,
    State.LAST_ACK: 9,
    State.TIME_WAIT: 6,
}
_NS_PER_US: Final = 1000
_UNLIMITED: Final = (1 << 31) - 1
_WORDS: Final = (
    "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets",
    "last_data_sent", "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt", "rttvar",
    "snd_ssthresh", "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space", "total_retrans",
)  # fmt: skip


def tcp_info(connection: Connection) -> bytes:
    """The first 104 bytes of the structure, as far as they are known here; the rest is 0.

    Times are in microseconds, windows in segments. Without a subflow the state is CLOSE.
    """
    if not connection.subflows:
        return _LAYOUT.pack(_LINUX_STATES[State.CLOSED], *[0] * 31)
    return _describe(connection.subflows[0].endpoint)


def _describe(endpoint: Endpoint) -> bytes:
    sender, control = endpoint.sender, endpoint.control
    rtt, mss = sender.rtt, sender.mss
    small = [_LINUX_STATES[endpoint.state], 0, rtt.backoff, 0, rtt.backoff, 0]
    scales = endpoint.peer_window_scale | endpoint.window_scale << 4
    words = dict.fromkeys(_WORDS, 0) | {
        "rto": rtt.rto_ns // _NS_PER_US,
        "snd_mss": mss,
        "rcv_mss": mss,
        "unacked": -(-sender.scoreboard.in_flight // mss),
        "rtt": rtt.srtt_ns // _NS_PER_US,
        "rttvar": rtt.variation_ns // _NS_PER_US,
        "snd_ssthresh": int(min(control.ssthresh / mss, _UNLIMITED)),
        "snd_cwnd": int(control.cwnd / mss),
        "advmss": mss,
    }
    return _LAYOUT.pack(*small, scales, 0, *words.values())
