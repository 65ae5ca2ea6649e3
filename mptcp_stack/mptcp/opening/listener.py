"""A listening port: handshakes up to the third ACK, which makes a connection."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.opening.half_open import HalfOpen
from mptcp_stack.mptcp.opening.handshake import answer, find
from mptcp_stack.mptcp.opening.syn_cookies import LIFETIME_PERIODS, PERIOD_NS, SynCookies
from mptcp_stack.mptcp.services import StackServices
from mptcp_stack.storage import MASK_32, NEVER
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.passive_open import peer_mss, remember, syn_ack
from mptcp_stack.tcp.rtt import INITIAL_RTO_NS
from mptcp_stack.texts import address_text, described
from mptcp_stack.wire import ACK, FIN, RST, SYN, MpCapable, Segment

Accept = Callable[["Listener", HalfOpen, Segment, int], None]
"""Makes a connection of a handshake and the segment that completes it."""

_CHALLENGE_INTERVAL_NS: Final = 100_000_000
"""As of a connection (``tcp.endpoint``), here for all handshakes of the listener."""
_USED_COOKIES: Final = 4096
"""Remembered at the most; only peers that answer from their own addresses get there."""
_PATIENCE_NS: Final = 500_000_000
"""Longer than nearly every round trip."""
_PATIENCE_TIMEOUTS: Final = 1
"""So often a SYN/ACK may be repeated in vain: a third ACK, too, may be lost twice."""


class Listener:
    """Accepts connections to ``local``; an empty ``local.ip`` stands for every address of the stack.

    At most ``backlog`` handshakes are under way at a time. What happens to more SYNs is for the setting
    ``syn_cookies``: "overflow" answers them with a cookie, "off" forgets the handshake that has waited longest or, if
    that is not long, does not hear them, and "always" has no table at all. While more than ``backlog`` connections
    wait for the application to take them (``waiting``, counted by who queues them), neither SYN nor third ACK is
    heard, as in Linux. While it is not ``accepting`` it only has the address, and who comes is refused.
    ``stack``: the stack as the accepted connections see it.
    """

    __slots__ = (
        "_accept",
        "_by_timeouts",
        "_cookie_sent_ns",
        "_cookies",
        "_next_challenge_ns",
        "_requests",
        "_timer",
        "_unregister",
        "_used_cookies",
        "accepting",
        "backlog",
        "local",
        "stack",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        stack: StackServices,
        local: Address,
        backlog: int,
        accept: Accept,
        unregister: Callable[["Listener"], None],
    ) -> None:
        self.stack = stack
        self._accept = accept
        self._unregister = unregister
        self.local = local
        self.accepting = True
        self.backlog = backlog
        self.waiting = 0
        self._cookies = SynCookies(stack.context.secret)
        self._cookie_sent_ns = -NEVER
        # By flow and difference of the sequence numbers: where the peer's began.
        self._used_cookies: OrderedDict[tuple[bytes, int], int] = OrderedDict()
        self._next_challenge_ns = 0
        self._requests: dict[bytes, HalfOpen] = {}
        # All in one have waited for the same time at least: they are in the order of their deadlines.
        self._by_timeouts = tuple(OrderedDict[bytes, HalfOpen]() for _ in range(stack.config.syn_retries + 1))
        self._timer = stack.context.timers.timer(self._repeat)

    def __repr__(self) -> str:
        return described(self, self._text)

    def _text(self) -> str:
        text = f"{address_text(*self.local)}, {self.half_open} half open, {self.waiting} to accept"
        return text if self.accepting else f"{text}, not accepting"

    @property
    def half_open(self) -> int:
        """Handshakes under way that the peer does not keep for us in a cookie."""
        return len(self._requests)

    def close(self) -> None:
        """Accept nothing more; connections that exist stay."""
        self._timer.cancel()
        self._requests.clear()
        self._unregister(self)

    # --- segments in

    def receive(self, segment: Segment, now: int) -> bool:
        """A segment for this port that belongs to no connection. False: it is to be answered with a RST."""
        flags = segment.flags
        request = self._requests.get(segment.flow)
        if request is not None:
            return self._receive_half_open(request, segment, now)
        if flags & RST:
            return True
        if flags & (SYN | ACK | FIN) == SYN:
            self._receive_syn(segment, now)
            return True
        if flags & (SYN | ACK) == ACK:
            return self._receive_cookie(segment, now)
        return not flags & ACK  # RFC 9293 section 3.10.7.2: anything without ACK is just dropped

    def _receive_syn(self, syn: Segment, now: int) -> None:
        if self._overflows():
            return
        mode = self.stack.config.syn_cookies
        full = len(self._requests) >= max(self.backlog, 1)
        if mode == "always" or (full and mode == "overflow"):
            self._send_cookie(syn, full, now)
            return
        if full and not self._forget_oldest(now):
            return  # the peer sends its SYN again
        reply = self._reply(syn)
        key = self.stack.new_key(reply.version) if reply is not None else None
        iss = self.stack.context.initial_sequence(syn.flow, now)
        request = HalfOpen(remember(syn), iss, key)
        self._requests[syn.flow] = request
        self._wait(request, now)
        self._send(request, now)

    def _receive_half_open(self, request: HalfOpen, segment: Segment, now: int) -> bool:
        """RFC 9293 section 3.10.7.4 for SYN-RECEIVED."""
        flags = segment.flags
        offset = (segment.seq - request.syn.seq - 1) & MASK_32
        if flags & SYN:
            if segment.seq == request.syn.seq and not flags & ACK:
                request.syn.flags = flags  # it may no longer ask for ECN
                self._send(request, now)  # the peer did not get our SYN/ACK
            else:
                self._challenge(request, now)
        elif offset >= self.stack.config.receive_buffer_bytes or _is_old(segment, request.syn):
            if not flags & RST:
                self._challenge(request, now)
        elif flags & RST:
            if offset:
                self._challenge(request, now)  # RFC 5961 section 3
            else:
                self._forget(request)
        elif flags & ACK:
            if segment.ack != (request.iss + 1) & MASK_32:
                return self._receive_cookie(segment, now)  # a copy of the SYN came when there was room for it
            if request.key is None or request.key.version == 0 or _decides(segment, offset, request.timeouts):
                self._complete(request, segment, now)
        return True

    def _receive_cookie(self, segment: Segment, now: int) -> bool:
        if now - self._cookie_sent_ns > LIFETIME_PERIODS * PERIOD_NS:
            return False
        request = self._cookies.restore(segment, now)
        if request is None:
            self._count("TcpExtSyncookiesFailed")
            return self._cookies.follows(segment, now)
        if _cookie_of(request.syn, request.iss) in self._used_cookies:
            self._count("TcpExtSyncookiesFailed")
            return False
        # Mapped data of version 0 have no room for keys, which come again after them.
        old = self.stack.config.mptcp_minimum_version == 0 and _maps(segment)
        if not old and _decides(segment, (segment.seq - request.syn.seq - 1) & MASK_32):
            if answer(request.syn.options, self.stack.config) is None:
                request.key = None  # a version that we would not have agreed to
            self._count("TcpExtSyncookiesRecv")
            if self._complete(request, segment, now):
                self._remember_cookie(request)
        return True

    def _remember_cookie(self, request: HalfOpen) -> None:
        """A copy of an early segment that comes when the connection is over must not open it again."""
        self._used_cookies[_cookie_of(request.syn, request.iss)] = request.syn.seq
        if len(self._used_cookies) > _USED_COOKIES:
            self._used_cookies.popitem(last=False)

    def _complete(self, request: HalfOpen, segment: Segment, now: int) -> bool:
        if self._overflows():
            return False  # as if it were lost
        self._forget(request)
        self._accept(self, request, segment, now)
        return True

    def _overflows(self) -> bool:
        if self.waiting <= self.backlog:
            return False
        self._count("TcpExtListenOverflows")
        self._count("TcpExtListenDrops")
        return True

    # --- answers out

    def _reply(self, syn: Segment) -> MpCapable | None:
        """Our MP_CAPABLE, still without key, if the peer offers MPTCP and we take it."""
        reply = answer(syn.options, self.stack.config)
        if reply is not None:
            self._count("MPTcpExtMPCapableSYNRX")
        return reply

    def _send(self, request: HalfOpen, now: int) -> None:
        request.sent_ns = now
        request.transmissions += 1
        segment = syn_ack(self.stack.context, request.syn, request.iss, now)
        reply = answer(request.syn.options, self.stack.config) if request.key is not None else None
        if reply is not None and request.key is not None:
            segment.options.mptcp = (replace(reply, sender_key=request.key.value),)
        self.stack.context.egress.append(segment)

    def _send_cookie(self, syn: Segment, full: bool, now: int) -> None:
        self._count("TcpExtSyncookiesSent")
        if full:
            self._count("TcpExtTCPReqQFullDoCookies")
        self._cookie_sent_ns = now
        iss = self._cookies.sequence(syn, peer_mss(syn), now)
        if self._used_cookies.get(_cookie_of(syn, iss), syn.seq) != syn.seq:
            del self._used_cookies[_cookie_of(syn, iss)]  # no copy: the peer uses its port again
        segment = syn_ack(self.stack.context, syn, iss, now)
        self._cookies.keep_options(syn.options, segment)
        reply = self._reply(syn)
        if reply is not None:
            key = self._cookies.key(syn, reply.version, now, self._token_in_use)
            if key is not None:
                segment.options.mptcp = (replace(reply, sender_key=key.value),)
        self.stack.context.egress.append(segment)

    def _token_in_use(self, key: Key) -> bool:
        return self.stack.token_in_use(key.token)

    def _challenge(self, request: HalfOpen, now: int) -> None:
        """Say again where we are to who may have lost track, not too often (RFC 5961 section 7)."""
        if now >= self._next_challenge_ns:
            self._next_challenge_ns = now + _CHALLENGE_INTERVAL_NS
            self._count("TcpExtTCPChallengeACK")
            self._send(request, now)

    # --- the table

    def _wait(self, request: HalfOpen, now: int) -> None:
        request.deadline_ns = now + (INITIAL_RTO_NS << request.timeouts)
        self._by_timeouts[request.timeouts][request.syn.flow] = request
        self._timer.set_earlier(request.deadline_ns)

    def _forget(self, request: HalfOpen) -> None:
        flow = request.syn.flow
        held = self._requests.pop(flow, None)
        if held is not None:
            del self._by_timeouts[held.timeouts][flow]
        if not self._requests:
            self._timer.cancel()

    def _forget_oldest(self, now: int) -> bool:
        """Make room, if somebody has waited for longer than honest peers take to answer: who has waited longest."""
        self._count("TcpExtTCPReqQFullDrop")
        oldest = next(iter(next(queue for queue in reversed(self._by_timeouts) if queue).values()))
        if not oldest.timeouts and now < oldest.deadline_ns - INITIAL_RTO_NS + _PATIENCE_NS:
            return False
        self._forget(oldest)
        return True

    def _repeat(self, now: int) -> None:
        """Send the SYN/ACKs again whose time has come, with back-off, and give up those that were sent enough."""
        for queue in self._by_timeouts:
            while queue and (request := next(iter(queue.values()))).deadline_ns <= now:
                if queue is self._by_timeouts[-1]:
                    self._forget(request)
                    continue
                del queue[request.syn.flow]
                request.timeouts += 1
                self._wait(request, now)
                self._count("TcpRetransSegs")
                self._send(request, now)
        for queue in self._by_timeouts:
            if queue:
                self._timer.set_earlier(next(iter(queue.values())).deadline_ns)

    def _count(self, name: str) -> None:
        self.stack.context.counters[name] += 1


def _cookie_of(syn: Segment, iss: int) -> tuple[bytes, int]:
    """What tells used cookies: not the numbers but their difference, as both sides may have sent the same since."""
    return syn.flow, (iss - syn.seq) & MASK_32


def _is_old(segment: Segment, syn: Segment) -> bool:
    """PAWS (RFC 7323 section 5) against the timestamp of the SYN."""
    ts_val, ts_syn = segment.options.ts_val, syn.options.ts_val
    return ts_val is not None and ts_syn is not None and 0 < (ts_syn - ts_val) & MASK_32 < 1 << 31


def _maps(segment: Segment) -> bool:
    dss = segment.options.dss
    return dss is not None and dss.dsn is not None and bool(dss.length)


def _decides(segment: Segment, offset: int, asked_again: int = 0) -> bool:
    """Whether a segment that begins ``offset`` bytes into the stream tells if its sender speaks MPTCP (section 3.1).

    MP_CAPABLE does, or no MPTCP at all. Another option alone comes after a third ACK that was lost or overtaken, and
    what repeats it is still to come; but not where the first byte or the end of all comes without (section 3.7), as
    when a SYN with data was taken without them, nor from a peer that was ``asked_again`` by our SYN/ACK and has
    nothing else under way.

    With data MP_CAPABLE speaks of the first. On others it is a copy, or a mistake of Linux after data in a SYN: the
    first byte will tell, and a DATA_ACK before it would keep Linux from going back to TCP.
    """
    capable = find(segment.options, MpCapable)
    if capable is not None:
        return not offset or capable.data_length is None
    spoken = segment.length or segment.flags & FIN or asked_again > _PATIENCE_TIMEOUTS
    silent = segment.options.dss is None and not segment.options.mptcp
    return silent or (not offset and bool(spoken))
