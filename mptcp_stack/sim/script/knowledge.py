"""What a script's notation needs to know to name things: addresses, flows, keys and where sequence numbers begin."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from mptcp_stack.mptcp.keys import Key
from mptcp_stack.wire import MpCapable, MpJoinSyn, MpJoinSynAck, Segment

PORT: Final = 8080
"""Where the stack listens, and where the script's peer does."""
_REMOTE_PORT: Final = 40000
REMOTE_KEY: Final = b"peer-key"
REMOTE_NONCE: Final = b"PEER"


@dataclass
class Flow:
    """One pair of addresses and ports. Sequence numbers of the script count from ``local_isn`` and ``remote_isn``."""

    local: tuple[int, int]
    """Number of our address and port."""
    remote: tuple[int, int]
    number: int
    """1, 2, ... among the flows between the same two addresses."""
    remote_isn: int
    local_isn: int | None = None
    local_nonce: bytes | None = None
    local_ts_base: int | None = None
    last_ts_val: int = 0
    joined_from: str = ""
    """Which side sent the SYN of an MP_JOIN: "local" or "remote"."""


@dataclass
class Knowledge:
    """Grows with every segment that is seen."""

    ip_version: int
    remote_isn: int
    flows: list[Flow] = field(default_factory=list)
    local_key: Key | None = None
    remote_key: Key = field(default_factory=lambda: Key(REMOTE_KEY))

    def ip(self, side: str, number: int) -> bytes:
        """The packed address called ``local0``, ``remote1`` and so on."""
        host = {"local": 1, "remote": 2}[side]
        text = f"192.168.{number}.{host}" if self.ip_version == 4 else f"fd00:{number}::{host}"
        return ip_address(text).packed

    def name(self, ip: bytes) -> str:
        """The inverse of ``ip``."""
        for side in ("local", "remote"):
            for number in range(8):
                if self.ip(side, number) == ip:
                    return f"{side}{number}"
        return str(ip_address(ip))

    def flow(self, local: int, remote: int, number: int = 1) -> Flow | None:
        """The flow between two addresses by its number."""
        wanted = (local, remote, number)
        return next((flow for flow in self.flows if (flow.local[0], flow.remote[0], flow.number) == wanted), None)

    def new_inbound(self, local: int, remote: int, number: int) -> Flow:
        """A flow that the script's peer opens."""
        return self._new((local, PORT), (remote, _REMOTE_PORT + len(self.flows)), number)

    def _new(self, local: tuple[int, int], remote: tuple[int, int], number: int) -> Flow:
        flow = Flow(local, remote, number, self.remote_isn)
        self.flows.append(flow)
        return flow

    def flow_of(self, sent: Segment) -> Flow:
        """The flow of a segment that the stack sent, and learn what it tells."""
        local = int(self.name(sent.src).removeprefix("local")), sent.sport
        remote = int(self.name(sent.dst).removeprefix("remote")), sent.dport
        flow = next((flow for flow in self.flows if (flow.local, flow.remote) == (local, remote)), None)
        if flow is None:
            same = [flow for flow in self.flows if (flow.local[0], flow.remote[0]) == (local[0], remote[0])]
            flow = self._new(local, remote, len(same) + 1)
        self._learn(flow, sent)
        return flow

    def _learn(self, flow: Flow, sent: Segment) -> None:
        if flow.local_isn is None:
            flow.local_isn = sent.seq
        if sent.options.ts_val is not None:
            if flow.local_ts_base is None:
                flow.local_ts_base = sent.options.ts_val
            flow.last_ts_val = sent.options.ts_val
        for option in sent.options.mptcp:
            match option:
                case MpCapable() if option.sender_key is not None:
                    self.local_key = Key(option.sender_key)
                case MpJoinSyn():
                    flow.local_nonce, flow.joined_from = option.nonce, "local"
                case MpJoinSynAck():
                    flow.local_nonce, flow.joined_from = option.nonce, "remote"
