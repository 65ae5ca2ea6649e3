"""One TCP connection seen from one side: segments in, segments out (RFC 9293).

An endpoint does not own the stream. The layer above gives it bursts to send (``transmit``) and takes what is in order
(``Upper.on_data``), so that plain TCP and an MPTCP subflow are the same thing here.
"""

from typing import Any, Final

from typing_extensions import override

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.congestion.base import INITIAL_WINDOW_SEGMENTS
from mptcp_stack.storage import MASK_32, Chunks, expand_32
from mptcp_stack.tcp.address import Address
from mptcp_stack.tcp.context import MAXIMUM_WINDOW_SCALE, Context, echo_age_ns, timestamp
from mptcp_stack.tcp.ecn import ECT_0, Ecn
from mptcp_stack.tcp.errors import connection_refused, connection_reset, timed_out, unreachable
from mptcp_stack.tcp.keep_alive import KeepAlive
from mptcp_stack.tcp.passive_open import peer_mss
from mptcp_stack.tcp.receiver import Receiver
from mptcp_stack.tcp.scoreboard import Record
from mptcp_stack.tcp.sender import Sender, SenderOwner
from mptcp_stack.tcp.states import ACKNOWLEDGING, MAY_RECEIVE, MAY_SEND, SYNCHRONISED, Event, State, advance
from mptcp_stack.tcp.upper import Upper, Verdict
from mptcp_stack.texts import address_text, described, size_text
from mptcp_stack.wire import ACK, ECE, FIN, PSH, RST, SYN, Dss, IcmpError, MptcpOption, Options, Segment, Trouble

_TIMESTAMP_BYTES: Final = 12
_UNSUSPICIOUS_SYNS: Final = 2
"""After more than these the initial window is one segment (RFC 6928 section 2)."""
_MAXIMUM_UNSCALED_WINDOW: Final = 65535
_CHALLENGE_INTERVAL_NS: Final = 100_000_000
"""Chosen, for each connection: RFC 5961 section 7 has ten in five seconds as an example, Linux one in half a second.
Whoever has lost track is answered soon, and a flood costs us ten acknowledgements a second."""


class Endpoint(SenderOwner):
    """State, sender and receiver of one connection. Every entry point takes ``now`` in nanoseconds.

    ``option_bytes``: what the layer above adds to every data segment; it reduces the payload of a wire packet.
    """

    __slots__ = (
        "_config", "_context", "_ecn", "_next_challenge_ns", "_offered_window", "_scaling", "_soft_error",
        "_timestamps", "_upper", "control", "error", "flow", "iss", "keep_alive", "local", "option_bytes",
        "peer_window_scale", "receiver", "remote", "sender", "state", "timestamp_offset", "window_scale",
    )  # fmt: skip
    __deletable__ = ("_upper",)

    def __init__(
        self,
        context: Context,
        upper: Upper,
        local: Address,
        remote: Address,
        group: list[CongestionControl],
        now: int,
    ) -> None:
        self._context = context
        self._config = context.config
        self._upper = upper
        self.local = local
        self.remote = remote
        self.flow = remote.ip + local.ip + remote.port.to_bytes(2, "big") + local.port.to_bytes(2, "big")
        self.state = State.CLOSED
        self.error: OSError | None = None
        self.option_bytes = 0
        self.iss = context.initial_sequence(self.flow, now)
        self.control = context.congestion(self._local_mss(), group)
        self.sender = self._new_sender(self.iss, now)
        self.receiver = self._new_receiver(0, now)
        self.window_scale = context.window_scale
        self.peer_window_scale = 0
        self._scaling = True
        self._timestamps = self._config.timestamps
        self.timestamp_offset = context.timestamp_offset(local.ip + remote.ip)
        self._offered_window = 0
        self._next_challenge_ns = 0
        self._soft_error: OSError | None = None
        self.keep_alive = KeepAlive(self, context, upper)
        self._ecn = Ecn(self._config, self.iss)

    @property
    def upper(self) -> Upper:
        """The layer above."""
        return self._upper

    def _new_sender(self, iss: int, now: int) -> Sender:
        addresses = self.local.ip, self.remote.ip
        return Sender(self._context, iss, self.control, addresses, now, self._upper, self)

    def _new_receiver(self, irs: int, now: int) -> Receiver:
        return Receiver(irs, self._context, self._upper, now)

    def _local_mss(self) -> int:
        return self._context.local_mss(self.local.ip)

    def __repr__(self) -> str:
        return described(self, self._text)

    def _text(self) -> str:
        text = f"{address_text(*self.local)} -> {address_text(*self.remote)} {self.state}"
        flight = self.sender.scoreboard.in_flight
        return f"{text}, {size_text(flight)} in flight" if flight else text

    # --- opening

    def open_active(self, now: int) -> None:
        """Send a SYN."""
        self._enter(Event.ACTIVE_OPEN, now)
        self._queue_syn(now)

    def open_passive(self, syn: Segment, now: int) -> None:
        """Answer a SYN."""
        self._enter(Event.PASSIVE_OPEN, now)
        self._take_syn(syn, now)
        self._queue_syn(now)

    def resume_passive(self, syn: Segment, iss: int, sent_ns: int, transmissions: int, now: int) -> None:
        """As if a SYN had been answered with ``iss`` so many times, last at ``sent_ns``; 0: nobody knows when.

        The acknowledgement of that answer is what must be received next.
        """
        self.iss = iss
        self._ecn = Ecn(self._config, iss)
        self.sender.stop()
        self.sender.end()
        self.sender = self._new_sender(iss, now)
        self._enter(Event.PASSIVE_OPEN, now)
        self._take_syn(syn, now)
        self.receiver.acknowledged()
        record = Record.of_syn(iss)
        self.sender.sent(record, now)
        record.sent_ns, record.transmissions = sent_ns, transmissions

    def _queue_syn(self, now: int) -> None:
        record = Record.of_syn(self.iss)
        self.sender.sent(record, now)
        self._emit_record(record, now)

    def _take_syn(self, syn: Segment, now: int) -> None:
        """Learn what the peer's SYN says (RFC 9293 section 3.7.1, RFC 7323, RFC 2018)."""
        options = syn.options
        self.receiver.end()
        self.receiver = self._new_receiver(syn.seq, now)
        self.receiver.offer(min(self._upper.receive_window(), _MAXIMUM_UNSCALED_WINDOW))
        self._timestamps = self._config.timestamps and options.ts_val is not None
        if self._timestamps:
            self.receiver.ts_recent = options.ts_val
        self._agree_on_scaling(options)
        self.sender.recovery.uses_sack = self._config.sack and options.sack_permitted
        ours = self.sender.scoreboard.first
        self._ecn.take_setup(syn, ours.transmissions if ours else 0)
        self.sender.peer_mss = peer_mss(syn)
        self.use_option_bytes(self.option_bytes)
        self.control.cwnd = float(INITIAL_WINDOW_SEGMENTS * self.control.mss)

    def _agree_on_scaling(self, options: Options) -> None:
        """Windows are scaled if all SYNs say by how much, which may be by nothing (RFC 7323 section 2.2)."""
        self._scaling = self._scaling and options.window_scale is not None
        if self._scaling:
            self.peer_window_scale = min(options.window_scale or 0, MAXIMUM_WINDOW_SCALE)
        else:
            self.window_scale = self.peer_window_scale = 0

    def use_option_bytes(self, count: int) -> None:
        """From now on every data segment carries ``count`` bytes of options of the layer above."""
        self.option_bytes = count
        self.sender.limit_segments(count + (_TIMESTAMP_BYTES if self._timestamps else 0))

    # --- segments in

    def receive(self, segment: Segment, now: int) -> None:
        """Process a segment of this flow (RFC 9293 section 3.10.7)."""
        if self.state is State.SYN_SENT:
            self._receive_in_syn_sent(segment, now)
        elif self.state is not State.CLOSED:
            self._receive_synchronised(segment, now)

    def _receive_in_syn_sent(self, segment: Segment, now: int) -> None:
        flags = segment.flags
        ack = expand_32(segment.ack, self.iss)
        acceptable = bool(flags & ACK) and self.iss < ack <= self.sender.scoreboard.next
        if flags & ACK and not acceptable:
            if not flags & RST:
                self._emit(RST, segment.ack, now)
            return
        if flags & RST:
            if acceptable:
                self._upper.expect_reset(segment)
                self._close(connection_refused(), now)
                self._upper.on_reset(segment, now)
            return
        if not flags & SYN:
            return
        self._take_syn(segment, now)
        self.sender.take_window(segment.window, segment.seq, 0)
        if not acceptable:
            self._enter(Event.SYN_WITHOUT_ACK, now)
            self.sender.recovery.mark_first_lost()
            self._upper.wake()
            return
        self._established(segment, ack, now)
        self.receiver.ack_now = True
        self._upper.wake()

    def _established(self, segment: Segment, ack: int, now: int) -> bool:
        sender = self.sender
        syn = sender.scoreboard.first
        sender.on_ack(ack, [], False, self._echo_age_ns(segment, now) if syn and syn.sent_ns else 0, now)
        sender.rtt.end_handshake()
        sender.retries = self._config.data_retries
        if syn is not None and syn.transmissions > _UNSUSPICIOUS_SYNS:
            self.control.cwnd = float(sender.mss)
        self._enter(Event.SYN_ACKED, now)
        self.keep_alive.start()
        if self._upper.on_established(segment, now):
            return True
        self.abort(now)
        return False

    def _receive_synchronised(self, segment: Segment, now: int) -> None:
        receiver = self.receiver
        seq = expand_32(segment.seq, receiver.next)
        span = segment.length + bool(segment.flags & (SYN | FIN))
        refusal = receiver.refusal(segment, seq, span, now)
        if span and seq + span <= receiver.next and not segment.flags & (SYN | RST):
            receiver.note_duplicate(seq, seq + span)
            self._acknowledge()  # a complete duplicate; if it ends right here its acknowledgement still counts
        if refusal is not None:
            if refusal:
                self._context.counters[refusal] += 1
            self._answer_unacceptable(segment.flags, span, now)
            return
        if segment.flags & RST:
            self._receive_rst(segment, seq, now)
            return
        if segment.flags & SYN and not self._receive_late_syn(segment, seq, now):
            return
        if not segment.flags & ACK or not self._receive_ack(segment, seq, now):
            return
        if self._ecn.agreed:
            self._receive_ecn(self._ecn, segment, now)
        verdict = self._upper.on_segment(segment, now)
        if verdict is Verdict.RESET:
            self.abort(now)
            return
        if verdict is Verdict.DISCARD:
            self._acknowledge()
            return
        if segment.length:
            self._receive_data(segment, seq, now)
        if segment.flags & FIN and self.state is not State.CLOSED:
            receiver.hold_fin(seq + segment.length)
        if receiver.fin is not None and receiver.take_fin():
            self._receive_fin(now)
        self._upper.wake()

    def _receive_late_syn(self, segment: Segment, seq: int, now: int) -> bool:
        """A SYN on a flow that has seen one; True: it is the SYN/ACK of a simultaneous open, go on with it."""
        if self.state is State.SYN_RECEIVED and seq == self.receiver.irs:
            if segment.flags & ACK:
                self._agree_on_scaling(segment.options)
                self._acknowledge()
                return True
            self.sender.recovery.mark_first_lost()  # the peer did not get our SYN/ACK: send it again
            self._upper.wake()
            return False
        # RFC 5961 section 4: a challenge, whatever its sequence number.
        self._context.counters["TcpExtTCPSYNChallenge"] += 1
        self._challenge(now)
        return False

    def _answer_unacceptable(self, flags: int, span: int, now: int) -> None:
        """What took sequence numbers will not come for ever; a bare answer to a bare answer could."""
        if flags & RST:
            return
        if span and not flags & SYN:
            self._acknowledge()
        else:
            self._challenge(now)

    def _challenge(self, now: int) -> None:
        """Answer what cannot be right with our state, not too often (RFC 5961 section 7)."""
        if now >= self._next_challenge_ns:
            self._next_challenge_ns = now + _CHALLENGE_INTERVAL_NS
            self._context.counters["TcpExtTCPChallengeACK"] += 1
            self._acknowledge()

    def _acknowledge(self) -> None:
        self.receiver.ack_now = True
        self._upper.wake()

    def _receive_rst(self, segment: Segment, seq: int, now: int) -> None:
        """RFC 5961 section 3: only an exact sequence number resets, others in the window are challenged."""
        if not self.receiver.is_reset_by(seq):
            self._challenge(now)
            return
        refused = self.state is State.SYN_RECEIVED
        self._upper.expect_reset(segment)
        self._close(connection_refused() if refused else connection_reset(), now)
        self._upper.on_reset(segment, now)

    def _receive_ack(self, segment: Segment, seq: int, now: int) -> bool:
        sender = self.sender
        scoreboard = sender.scoreboard
        ack = expand_32(segment.ack, scoreboard.una)
        if self.state is State.SYN_RECEIVED:
            if not scoreboard.una < ack <= scoreboard.next:
                self._emit(RST, segment.ack, now)
                return False
            if not self._established(segment, self.iss + 1, now):
                return False
        if ack > scoreboard.next or ack < scoreboard.una - sender.maximum_window:
            self._challenge(now)  # RFC 5961 section 5.2
            return False
        blocks = []
        if segment.options.sack and sender.recovery.uses_sack:
            una = scoreboard.una
            blocks = [(expand_32(start, una), expand_32(end, una)) for start, end in segment.options.sack]
        if ack < scoreboard.una:  # overtaken: nothing of it is news but what it selects (RFC 6675 section 5)
            if blocks:
                sender.on_ack(ack, blocks, False, 0, now)
            return True
        # What a SYN/ACK says is not scaled (RFC 7323 section 2.2).
        window = segment.window if segment.flags & SYN else segment.window << self.peer_window_scale
        duplicate = not segment.length and window == sender.window and not segment.flags & FIN
        sender.take_window(window, min(seq, self.receiver.next), ack)
        if ack > scoreboard.una or scoreboard.una < scoreboard.next or blocks or sender.recovery.probe:
            if self._ecn.agreed:
                sender.marked = bool(segment.flags & ECE)
            fin_outstanding = self.state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)
            sender.on_ack(ack, blocks, duplicate, self._echo_age_ns(segment, now), now)
            self._upper.on_acked(now)
            if fin_outstanding and scoreboard.una == scoreboard.next:
                self._enter(Event.FIN_ACKED, now)
        return self.state is not State.CLOSED

    def _echo_age_ns(self, segment: Segment, now: int) -> int:
        return echo_age_ns(self.timestamp_offset, segment.options, now) if self._timestamps else 0

    def _receive_data(self, segment: Segment, seq: int, now: int) -> None:
        if self.state not in MAY_RECEIVE:
            return
        receiver = self.receiver
        if seq + segment.length > receiver.edge:
            self._context.counters["TcpExtBeyondWindow"] += 1
            receiver.cut_to_window(segment, seq)
            if not segment.length:
                return
        before = receiver.next
        if seq > before and not self._upper.may_hold():
            self._context.counters["TcpExtTCPOFODrop"] += 1
            receiver.ack_now = True
            return
        chunks = receiver.accept(seq, segment.payload, segment.length, segment.gso_size or segment.length, now)
        if chunks and not self._upper.on_data(before - receiver.irs, chunks, now):
            self.abort(now)

    def _receive_ecn(self, ecn: Ecn, segment: Segment, now: int) -> None:
        scoreboard = self.sender.scoreboard
        if ecn.asks_to_reduce(segment, scoreboard.una, scoreboard.next):
            self.sender.on_congestion_echo(now)
        if segment.length and ecn.receive(segment):
            self._context.counters["IpExtInCEPkts"] += 1
            self.receiver.ack_now = True

    def _receive_fin(self, now: int) -> None:
        """Where it is the second half that ends, that is told before the whole is over."""
        second = self.state in (State.FIN_WAIT_1, State.FIN_WAIT_2)
        if second:
            self._upper.on_fin(now)
        self._enter(Event.FIN_RECEIVED, now)
        if not second:
            self._upper.on_fin(now)

    def receive_icmp(self, error: IcmpError, now: int) -> None:
        """An ICMP error about one of our segments; believed if that is under way (RFC 5927 section 4.1).

        It ends an attempt to connect, but never a connection: there it is at most the reason for giving up in the end
        (RFC 5461, RFC 9293 section 3.9.2.2).
        """
        scoreboard = self.sender.scoreboard
        if not scoreboard.una <= expand_32(error.seq, scoreboard.una) < scoreboard.next:
            self._context.counters["TcpExtOutOfWindowIcmps"] += 1
        elif error.trouble is Trouble.TOO_BIG:
            self.sender.on_packet_too_big(error.mtu, now)
        elif self.state not in SYNCHRONISED:
            self._close(unreachable(error.trouble), now)
        else:
            self._soft_error = unreachable(error.trouble)

    # --- segments out

    def retransmit(self, now: int) -> None:
        """Send again what is lost, as far as the window lets it."""
        while (record := self.sender.next_retransmission(now)) is not None:
            self._emit_record(record, now)
            self._upper.on_retransmitted(record, now)

    @override
    def send_probe(self, now: int) -> None:
        if self._upper.probe(now):
            return
        record = self.sender.next_probe(now)
        if record is not None:
            self._emit_record(record, now)
            self._upper.on_retransmitted(record, now)

    @property
    def may_send(self) -> bool:
        """Whether new data can be given to ``transmit`` in this state."""
        return self.state in MAY_SEND

    def transmit(self, chunks: Chunks, length: int, mapping: Any, push: bool, now: int) -> Record:
        """Send a burst of new data; the caller stays within ``sender.room()`` and ``sender.burst_limit()``.

        What fills the peer's window is pushed as the end of the queue is (RFC 9293 section 3.9.1.2): nothing follows it
        until the peer answers, and Linux would wait for more before it does.
        """
        sender = self.sender
        scoreboard = sender.scoreboard
        seq = scoreboard.next
        end = seq + length
        if end + sender.mss > scoreboard.una + sender.window:
            push = True
        record = Record(seq, end, chunks, length, PSH if push else 0, mapping)
        sender.sent(record, now)
        self._emit_record(record, now)
        return record

    def finish(self, now: int, mapping: Any = None) -> None:
        """Send a FIN: there is no more data from us. ``mapping`` as for ``transmit``."""
        state = advance(self.state, Event.CLOSE)
        if state is self.state:
            return
        seq = self.sender.scoreboard.next
        record = Record.of_fin(seq, mapping)
        self.sender.sent(record, now)
        self._emit_record(record, now)
        self._enter(Event.CLOSE, now)

    def acknowledge_if_due(self, now: int) -> None:
        """Send an acknowledgement unless one went out with data since it became due."""
        if self.receiver.ack_now and self.state in ACKNOWLEDGING:
            self.send_ack(now)

    def send_ack(self, now: int, *mptcp: MptcpOption, dss: Dss | None = None) -> None:
        """A segment without payload, with ``mptcp`` and ``dss`` instead of the options that belong on every segment.

        Where there is no room for a DSS beside them, the DATA_ACK that is due follows on a segment of its own.
        """
        receiver = self.receiver
        if self.state is State.SYN_RECEIVED:
            receiver.ack_now = False  # the SYN/ACK that is being retransmitted says it
            return
        due = receiver.owes_ack and bool(mptcp) and dss is None
        self._emit(ACK, self.sender.scoreboard.next, now, mptcp=mptcp, dss=dss)
        receiver.ack_now = due

    def probe_window(self, now: int) -> None:
        """Have the peer say its window (RFC 9293, 3.8.6.1); from now on what little room there is will be used."""
        self.sender.probing = True
        self.ask("TcpExtTCPWinProbe", now)

    def ask(self, counter: str, now: int) -> None:
        """A segment that the peer must answer: empty, before SND.UNA."""
        self._context.counters[counter] += 1
        self._emit(ACK, self.sender.scoreboard.una - 1, now)

    def abort(self, now: int, *mptcp: MptcpOption) -> None:
        """Reset the connection, without an error of our own."""
        if self.state in (State.CLOSED, State.TIME_WAIT):
            return
        if self.state is not State.SYN_SENT:
            self.send_reset(now, *mptcp)
        self._close(None, now)

    def send_reset(self, now: int, *mptcp: MptcpOption) -> None:
        """A RST, and nothing else."""
        self._context.counters["TcpOutRsts"] += 1
        self._emit(RST | ACK, self.sender.scoreboard.next, now, mptcp=mptcp)

    def _emit_record(self, record: Record, now: int) -> None:
        flags = record.flags
        if self.state is not State.SYN_SENT:
            flags |= ACK
        if flags & SYN:
            flags |= self._ecn.setup_flags(bool(flags & ACK), record.transmissions)
        self._emit(flags, record.seq, now, record)

    def _emit(
        self,
        flags: int,
        seq: int,
        now: int,
        record: Record | None = None,
        mptcp: tuple[MptcpOption, ...] = (),
        dss: Dss | None = None,
    ) -> None:
        receiver = self.receiver
        options = Options()
        if self._timestamps:
            options.ts_val = timestamp(self.timestamp_offset, now)
            options.ts_ecr = receiver.ts_recent or 0
        selective = False
        if flags & SYN:
            window = self._offer_on_syn(options)
        else:
            self._offered_window = self._upper.receive_window()
            window = min(self._offered_window >> self.window_scale, _MAXIMUM_UNSCALED_WINDOW)
            receiver.offer(window << self.window_scale)
            if mptcp:
                options.mptcp, options.dss = mptcp, dss
            elif not flags & RST:
                self._upper.add_options(options, record)
            selective = self.sender.recovery.uses_sack and receiver.has_blocks
            if record is None and selective:
                options.sack = tuple((start & MASK_32, end & MASK_32) for start, end in receiver.sack_blocks())
                if receiver.duplicate is not None:
                    old = receiver.duplicate[0] < receiver.next
                    self._context.counters["TcpExtTCPDSACKOldSent" if old else "TcpExtTCPDSACKOfoSent"] += 1
        payload: Chunks = []
        length = gso_size = ect = 0
        whole = False  # what carries no data is small, and no errors about it would be believed
        if record is not None and record.length:
            payload, length, whole = record.chunks, record.length, self.sender.whole_packets
            if length > self.sender.mss:
                gso_size = self.sender.mss
        if self._ecn.agreed and not flags & (SYN | RST):
            flags |= ECE if self._ecn.echo else 0
            if length and record is not None and record.transmissions == 1:
                flags |= self._ecn.flags_of_new_data()
                ect = ECT_0
        local, remote = self.local, self.remote
        ack = receiver.next if flags & ACK else 0
        segment = Segment(
            local.ip, remote.ip, local.port, remote.port, seq & MASK_32, ack & MASK_32, flags, window,
            options, payload, length, gso_size, ect, whole,
        )  # fmt: skip
        if flags & ACK and (record is None or not selective):  # data leave no room for what SACK has to say
            receiver.acknowledged()
        self._context.egress.append(segment)

    def _offer_on_syn(self, options: Options) -> int:
        answering = self.state is not State.SYN_SENT
        options.mss = self._local_mss()
        options.sack_permitted = self.sender.recovery.uses_sack if answering else self._config.sack
        if self._scaling:
            options.window_scale = self.window_scale
        options.mptcp = self._upper.handshake_options()
        return min(self._upper.receive_window(), _MAXIMUM_UNSCALED_WINDOW)

    def update_window(self) -> None:
        """The application has read: say so if that doubles what the peer may send (RFC 9293 section 3.8.6.2.2)."""
        if self._upper.receive_window() >= max(2 * self._offered_window, self.sender.mss):
            self._acknowledge()

    # --- closing

    def _enter(self, event: Event, now: int) -> None:
        before, self.state = self.state, advance(self.state, event)
        if self.state is State.TIME_WAIT or (self.state is State.CLOSED and before is not State.CLOSED):
            if event is Event.FIN_RECEIVED or (self.state is State.TIME_WAIT and self.receiver.ack_now):
                self.send_ack(now)
            self.stop()
            self._upper.on_closed(self.error, now)

    def _close(self, error: OSError | None, now: int) -> None:
        self.error = error
        self._enter(Event.ABORT, now)

    @override
    def give_up(self, now: int) -> None:
        if self.state in SYNCHRONISED:
            self._context.counters["TcpExtTCPAbortOnTimeout"] += 1
        self._close(self._soft_error or timed_out(), now)

    def stop(self) -> None:
        """No timer runs any more."""
        self.sender.stop()
        self.keep_alive.cancel()
        self.receiver.acknowledged()

    def dissolve(self) -> None:
        """Nothing comes from it any more: nothing in it refers back, so that reference counts free what nobody holds.

        What it knows can still be read.
        """
        self.sender.end()
        self.receiver.end()
        self.keep_alive.end()
        del self._upper
