"""One TCP connection as part of an MPTCP connection: its options out and in (RFC 8684 section 3)."""

from collections.abc import Iterable
from typing import Final, Literal

from typing_extensions import override

from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.mptcp.opening.handshake import ActiveInitial, ActiveJoin, Handshake, PassiveInitial, PassiveJoin, find
from mptcp_stack.mptcp.subflow import tracepoints
from mptcp_stack.mptcp.subflow.inbound import Checked, Inbound
from mptcp_stack.mptcp.subflow.owner import DataSender, SubflowOwner
from mptcp_stack.mptcp.subflow.persist import Persist
from mptcp_stack.storage import MASK_32, Chunks, Timer, expand_32, length_of
from mptcp_stack.tcp import Address, Endpoint, Phase, Record, State, Upper, Verdict
from mptcp_stack.tcp.rtt import EchoRtt
from mptcp_stack.texts import address_text, described, size_text
from mptcp_stack.wire import FIN, SYN, TRANSIENT, Dss, MpCapable, MptcpOption, MpTcpRst, Options, ResetReason, Segment

DSS_OPTION_BYTES: Final = 28
"""A DSS with 8-byte acknowledgement, 8-byte DSN and no checksum, padded."""

_CONFIRM_ATTEMPTS: Final = 6
"""As often as a SYN is repeated (tcp_syn_retries of Linux): from half a second on, doubled, a minute in all."""
_MOST_CARRIED: Final = 1024
"""Spans of data that were sent on a subflow and no DATA_ACK has reached: of more the gaps are forgotten."""
_DISTRUST_NS: Final = 250_000_000
_LONGEST_DISTRUST_NS: Final = 64_000_000_000
"""Chosen: so long the first time, twice as long each further time: what lost by chance is back soon, and what always
loses is tried once a minute."""


class Subflow(Upper):
    """The upper layer of one endpoint. In a connection that fell back to TCP it is transparent.

    ``number`` counts the connection's subflows from 0, the initial one.
    ``confirmed``: the peer has shown that it knows our third ACK. ``backup``: use only without an alternative (see
    ``wish``).
    ``peer_reset``: what the peer's RST said about its cause, if it said anything (section 3.6). ``rejected``: we have
    reset it, as what came on it cannot be. ``refused``: one of the hosts has reset it for a reason that remains.
    ``opened_ns``: when its handshake began. ``was_up``: it has come up; before that it is an attempt. ``leaving``:
    its address was taken back, so that it is about to be closed.
    """

    __slots__ = (
        "_carried", "_confirm_attempts", "_confirm_timer", "_distrust_ns", "_dsn_64", "_dss_seen", "_echo_rtt",
        "_handshake", "_inbound", "_patience_ends", "_wishes", "backup", "bytes_received", "bytes_sent", "confirmed",
        "connection", "covered", "distrusted_until_ns", "endpoint", "leaving", "local_id", "number", "opened_ns",
        "peer_reset", "persist", "refused", "rejected", "remote_id", "sending", "was_up",
    )  # fmt: skip

    def __init__(
        self,
        connection: SubflowOwner,
        sending: DataSender,
        handshake: Handshake,
        local: Address,
        remote: Address,
        remote_id: int,
        now: int,
    ) -> None:
        stack = connection.stack
        self.connection = connection
        self.sending = sending
        self.backup = False
        self._wishes: tuple[bool, bool] = (False, False)
        self.confirmed = False
        self.local_id = connection.local_id_of(local)
        self.remote_id = remote_id
        self.number = connection.subflows_opened
        connection.subflows_opened += 1
        self.bytes_sent = 0
        self.bytes_received = 0
        self.covered = 0
        """With a redundant scheduler: all data below this data sequence number went out on it or was acknowledged."""
        self._handshake = handshake
        self._inbound = Inbound(self)
        self._dss_seen = False
        self._patience_ends: int | None = None
        self._carried: list[tuple[int, int]] = []
        self._distrust_ns = 0
        self.distrusted_until_ns = 0
        self._dsn_64 = stack.config.dsn_bits == 64
        self.peer_reset: MpTcpRst | None = None
        self.refused = False
        self.rejected = False
        self.opened_ns = now
        self.was_up = False
        self.leaving = False
        self._echo_rtt = EchoRtt() if stack.config.receive_buffer_autotuning else None
        self._confirm_timer: Timer | None = None
        """Of one that we have opened, until the peer has confirmed it."""
        self._confirm_attempts = 0
        self.endpoint = Endpoint(stack.context, self, local, remote, connection.congestion_group, now)
        self.persist = Persist(self)

    def __repr__(self) -> str:
        return described(self, self._text)

    def _text(self) -> str:
        endpoint = self.endpoint
        text = f"{self.number} {address_text(*endpoint.local)} -> {address_text(*endpoint.remote)} {endpoint.state}"
        if self.backup:
            text += ", backup"
        return f"{text}, {size_text(self.bytes_sent)} sent, {size_text(self.bytes_received)} received"

    # --- what schedulers and path managers look at

    @property
    def local(self) -> Address:
        """Our address and port."""
        return self.endpoint.local

    @property
    def remote(self) -> Address:
        """The peer's address and port."""
        return self.endpoint.remote

    @property
    def srtt_ns(self) -> int:
        """Smoothed round-trip time, 0 before the first sample."""
        return self.endpoint.sender.rtt.srtt_ns

    @property
    def receiver_rtt_ns(self) -> int:
        """Round-trip time as the data that arrives shows it, or else ``srtt_ns``."""
        return (self._echo_rtt is not None and self._echo_rtt.rtt_ns) or self.srtt_ns

    @property
    def rtt_variation_ns(self) -> int:
        """How much the round-trip time varies (RFC 6298's RTTVAR)."""
        return self.endpoint.sender.rtt.variation_ns

    @property
    def cwnd_bytes(self) -> int:
        """Congestion window."""
        return int(self.endpoint.control.cwnd)

    @property
    def in_flight_bytes(self) -> int:
        """What was sent, is not acknowledged and not taken for lost."""
        return self.endpoint.sender.scoreboard.in_flight

    @property
    def mss(self) -> int:
        """Payload of one packet on the wire."""
        return self.endpoint.sender.mss

    @property
    def failing(self) -> bool:
        """Whether its retransmission timer has expired since the peer last answered on it."""
        return self.endpoint.sender.rtt.backoff > 0

    @property
    def timeouts(self) -> int:
        """How often in a row the retransmission timer has expired."""
        return self.endpoint.sender.rtt.backoff

    @property
    def carried_data(self) -> bool:
        """Whether data has passed it, one way or the other."""
        return self.bytes_received > 0 or self.endpoint.sender.scoreboard.una > self.endpoint.iss + 1

    @property
    def repairing(self) -> bool:
        """Whether it has lost something that did not arrive since."""
        return self.endpoint.sender.recovery.phase is not Phase.OPEN

    def carry(self, start: int, end: int) -> None:
        """Note which data (numbers of the connection) are sent on it, or a little more, where they are many pieces."""
        carried = self._carried
        base = self.sending.queue.base
        arrived = 0
        while arrived < len(carried) and carried[arrived][1] <= base:
            arrived += 1
        if arrived:
            del carried[:arrived]
        self.bytes_sent += end - start
        if len(carried) >= _MOST_CARRIED:
            first, last = carried[-1]
            carried[-1] = min(first, start), max(last, end)
        else:
            carried.append((start, end))

    def distrust(self, now: int) -> None:
        """Use it as little as possible for a while: TCP has acknowledged data on it that did not arrive.

        Somebody on the way has taken them and lost them.
        """
        self._distrust_ns = min(2 * self._distrust_ns, _LONGEST_DISTRUST_NS) or _DISTRUST_NS
        self.distrusted_until_ns = now + self._distrust_ns

    @property
    def carried(self) -> Iterable[tuple[int, int]]:
        """Which data (from, to) it has been sent that may not have arrived."""
        return self._carried

    def carries(self, dsn: int) -> bool:
        """Whether it has been sent this byte of the connection."""
        return any(start <= dsn < end for start, end in self._carried)

    @property
    def usable(self) -> bool:
        """Whether data may be sent on it: established, for a join also confirmed by the peer, and not to be closed."""
        return self.endpoint.may_send and (self.confirmed or not self.joining) and not self.leaving

    @property
    def introduced(self) -> bool:
        """Whether the peer is known to have our third ACK, whose place no other option may take."""
        return self.confirmed or not isinstance(self._handshake, ActiveInitial | ActiveJoin)

    @property
    def joining(self) -> bool:
        """Whether we opened it with MP_JOIN."""
        return isinstance(self._handshake, ActiveJoin)

    @property
    def syn_transmissions(self) -> int:
        """How often the SYN was sent so far, this time included."""
        syn = self.endpoint.sender.scoreboard.first
        return syn.transmissions if syn else 1

    def can_send(self, wanted: int, now: int) -> bool:
        """Whether there is room for a full segment, or for all of ``wanted`` bytes, or for what is not silly."""
        if not self.usable:
            return False
        sender = self.endpoint.sender
        room = 0 if sender.scoreboard.crowded else sender.room(now)
        if self.connection.checksums and sender.scoreboard.in_flight >= 2 * sender.mss:
            return room >= min(wanted, 2 * sender.mss)  # two copies of the mapping: one may be damaged on the way
        return room >= min(wanted, sender.mss) or (room > 0 and not sender.is_silly(room))

    def pace_wait_ns(self, now: int) -> int:
        """How long its pace keeps back data that its congestion window allows; 0: not at all, or that does not."""
        return self.endpoint.sender.pace_wait_ns(now) if self.usable else 0

    def wish(self, *, ours: bool | None = None, peers: bool | None = None) -> None:
        """Whether we, or the peer, want it to be a backup (None: as before); one is enough, as for Linux.

        Each speaks for itself (RFC 8684 section 3.3.8): that one takes its wish back does not undo the other's. What a
        path manager has set ``backup`` to stays until a wish changes.
        """
        before = self._wishes
        wishes = before[0] if ours is None else ours, before[1] if peers is None else peers
        if wishes != before:
            self._wishes = wishes
            self.backup = any(wishes)

    # --- options out

    @override
    def handshake_options(self) -> tuple[MptcpOption, ...]:
        return self._handshake.syn_options(self.syn_transmissions, self.local_id, self.backup)

    @override
    def add_options(self, options: Options, record: Record | None) -> None:
        connection = self.connection
        mapping: Mapping | None = record.mapping if record is not None else None
        if not connection.is_mptcp:
            if record is None:
                options.mptcp = connection.fallback.options()
            elif mapping is not None and mapping.infinite:
                dsn = connection.local_key.dsn(mapping.dsn)
                options.dss = Dss(dsn=dsn, ssn=mapping.ssn & MASK_32, checksum=mapping.checksum)
            return
        if mapping is not None and mapping.first:
            options.mptcp = (connection.third_ack(mapping),)
            return
        if mapping is None:
            mapping = self.sending.pending_fin
            if not self.confirmed and (mapping is None or self.joining):
                options.mptcp = self._handshake.until_confirmed()
                if options.mptcp:
                    return
        dss = self.data_ack()
        if mapping is not None:
            dss.dsn_64 = self._dsn_64
            dss.dsn = connection.local_key.dsn(mapping.dsn)
            dss.ssn = mapping.ssn & MASK_32
            dss.length = mapping.length + mapping.data_fin
            dss.data_fin = mapping.data_fin
            dss.checksum = mapping.checksum
        options.dss = dss

    def data_ack(self) -> Dss:
        """What has arrived of the connection."""
        connection = self.connection
        return Dss(connection.remote_key.dsn(connection.receiving.next), self._dsn_64)

    def repeat_third_ack(self, now: int) -> None:
        """Send what completes the handshake (again), unless the peer has shown that it got it."""
        options = () if self.confirmed else self._handshake.until_confirmed()
        if options:
            self.endpoint.send_ack(now, *options)

    def _confirm_version_0(self, now: int) -> None:
        """Version 0 has no MP_CAPABLE with data: the third ACK alone tells a server that kept nothing who we are."""
        if self.connection.is_mptcp and self.connection.version == 0 and not self.number:
            self.repeat_third_ack(now)

    @override
    def receive_window(self) -> int:
        """The window is the connection's, whatever the subflow."""
        return self.connection.receiving.window()

    @override
    def may_hold(self) -> bool:
        """The memory is the connection's, too."""
        connection = self.connection
        return connection.receiving.may_hold(subflow.charge for subflow in connection.subflows)

    @property
    def charge(self) -> int:
        """What it holds that came before its turn costs so many bytes of memory."""
        return self.endpoint.receiver.reassembly.charge + self._inbound.charge

    # --- segments in

    @override
    def on_established(self, segment: Segment, now: int) -> bool:
        if not self._handshake.established(segment, now):
            return self.reject(ResetReason.MPTCP, now)
        if self.connection.is_mptcp:
            self.endpoint.use_option_bytes(DSS_OPTION_BYTES)
            if self.connection.checksums:
                self._inbound = Checked(self)
            if self.number:
                self.connection.fallback.alone = False
            if isinstance(self._handshake, ActiveInitial | PassiveInitial):
                scale = 0 if segment.flags & SYN else self.endpoint.peer_window_scale
                self.sending.offer(segment.window << scale)
            elif isinstance(self._handshake, ActiveJoin):
                self.wish(peers=self._handshake.peer_backup)
                self._await_confirmation(now)
            elif isinstance(self._handshake, PassiveJoin):
                self.confirmed = True
                self.endpoint.receiver.ack_now = True
        self.was_up = not self.joining
        self._confirm_version_0(now)
        tracepoints.subflow_up(self, now)
        self.connection.subflow_established(self, now)
        return True

    @override
    def on_segment(self, segment: Segment, now: int) -> Verdict:
        """Everything that MPTCP options say, before the payload is looked at."""
        connection = self.connection
        options = segment.options
        if self._echo_rtt is not None and segment.length:
            self._echo_rtt.hear(options, self.endpoint.timestamp_offset, self.srtt_ns, now)
        if not connection.is_mptcp:
            if options.mptcp or options.dss is not None or segment.flags & FIN:
                connection.fallback.receive(self, segment, now)
            return Verdict.TAKE
        dss = options.dss
        confirming = dss is None and not self.introduced and (self.joining or options.mptcp)
        if dss is not None:
            self._receive_dss(dss, segment, now)
        elif confirming:
            self._confirm(now)  # the fourth packet of section 3.2, or whatever shows that the peer speaks MPTCP
        if options.mptcp:
            connection.options_arrived(self, segment, now)
        if self.endpoint.state is State.CLOSED:
            return Verdict.RESET
        if not connection.is_mptcp:
            return Verdict.TAKE
        if dss is not None and dss.dsn is None and segment.length and self._begins(segment):
            return Verdict.TAKE if connection.fallback.without_dss(self, segment, now) else Verdict.RESET
        if connection.checksums and segment.length and self._dss_seen and self._inbound.forgives(segment):
            return Verdict.DISCARD
        silent = dss is None and not (confirming or options.mptcp)
        if silent and not self._without_dss(segment, now):
            return Verdict.RESET
        return Verdict.TAKE

    def _begins(self, segment: Segment) -> bool:
        """Whether the first byte of the connection comes.

        Where its DSS maps nothing it is TCP's (section 3.7), whatever others claim: so Linux repeats data of its SYN.
        """
        receiver = self.endpoint.receiver
        return not self.number and receiver.next == receiver.irs + 1 and segment.seq == receiver.next & MASK_32

    def _without_dss(self, segment: Segment, now: int) -> bool:
        """A segment without DSS: the path may have lost MPTCP (section 3.7). False: the subflow was reset."""
        if segment.length and self._inbound.maps(segment):
            return True
        if not self.number:
            return self.connection.fallback.without_dss(self, segment, now)
        acked = self.endpoint.sender.scoreboard.una > self.endpoint.iss + 1
        if self._dss_seen or not acked:
            return True
        # A proxy may acknowledge before the peer does, whose own word takes a round trip more.
        if self._patience_ends is None:
            self._patience_ends = now + self.endpoint.sender.rtt.rto_ns
        return now < self._patience_ends or self.reject(ResetReason.MIDDLEBOX, now)

    def map_first(self, option: MpCapable, segment: Segment, now: int) -> None:
        """Data with MP_CAPABLE are the first bytes of the connection (section 3.1).

        Where others have it, who cut the first segment copied it, or the peer is mistaken: the first byte will tell.
        """
        assert option.data_length is not None
        if segment.seq == (self.endpoint.receiver.irs + 1) & MASK_32:
            self._inbound.add(Mapping(ssn=1, dsn=0, length=option.data_length, checksum=option.checksum), now)

    def _receive_dss(self, dss: Dss, segment: Segment, now: int) -> None:
        if not self._dss_seen:
            self._dss_seen = True
            if not self.confirmed:
                self._confirm(now)
        connection = self.connection
        receiving = connection.receiving
        if dss.data_ack is not None:
            connection.fallback.hear(self)
            una = self.sending.queue.base
            data_ack = connection.local_key.position(dss.data_ack, dss.data_ack_64, una)
            data_ack = self._inbound.believed(data_ack)
            self.sending.on_data_ack(data_ack, segment.window << self.endpoint.peer_window_scale, now)
        # With neither payload nor an end of data a mapping maps nothing, for Linux either; nor is it one without end.
        if dss.dsn is not None and (segment.length or dss.data_fin or segment.flags & FIN):
            dsn = connection.remote_key.position(dss.dsn, dss.dsn_64, receiving.next)
            receiver = self.endpoint.receiver
            expected = receiver.next - receiver.irs
            ssn = expand_32(dss.ssn, expected)
            mapping = Mapping(ssn, dsn, dss.length - dss.data_fin, dss.data_fin, checksum=dss.checksum)
            if mapping.length > 0:
                if mapping.ssn <= expected < mapping.end or self.may_hold():
                    self._inbound.add(mapping, now)  # else TCP takes no payload either that comes before its turn
            elif not dss.length:
                connection.fallback.receive_infinite_mapping(self, dsn - ssn, now)
                return
            still_speaks = connection.is_mptcp and self.endpoint.state is not State.CLOSED
            if dss.data_fin and still_speaks and self._inbound.believes_fin(mapping):
                self.finish_at(mapping.dsn + mapping.length)
                connection.data_arrived(now)

    def finish_at(self, dsn: int) -> None:
        """The peer's DATA_FIN (section 3.3.3)."""
        receiving = self.connection.receiving
        receiving.finish_at(dsn)
        # Before it is reached there is nothing to say, and two ends would answer each other's for ever.
        if receiving.finished:
            self.endpoint.receiver.ack_now = True

    def _confirm(self, now: int) -> None:
        self.confirmed = self.was_up = True
        self._stop_waiting()
        self.connection.subflow_confirmed(self, now)

    def _confirm_again(self, now: int) -> None:
        """The third ACK of a join is sent until the peer answers it (section 3.2)."""
        self._confirm_attempts += 1
        if self._confirm_attempts > _CONFIRM_ATTEMPTS:
            self.reject(ResetReason.MPTCP, now, transient=True)
            return
        self.endpoint.send_ack(now)
        self._await_confirmation(now)

    def _await_confirmation(self, now: int) -> None:
        stack = self.connection.stack
        if self._confirm_timer is None:
            self._confirm_timer = stack.context.timers.timer(self._confirm_again, self)
        self._confirm_timer.set(now + (stack.config.join_confirm_timeout_ns << self._confirm_attempts))

    def _stop_waiting(self) -> None:
        if self._confirm_timer is not None:
            self._confirm_timer.end()
            self._confirm_timer = None

    @override
    def on_data(self, ssn: int, chunks: Chunks, now: int) -> bool:
        """Translate to data sequence numbers."""
        connection = self.connection
        length = length_of(chunks)
        self.bytes_received += length
        connection.fallback.contiguous &= not self.number
        if connection.is_plain:
            connection.receiving.insert(connection.receiving.next, chunks, length)
        elif not self._inbound.receive(ssn, chunks, length, now):
            return False
        elif not connection.receiving.has_room(self.endpoint.receiver.mss):
            self.endpoint.receiver.ack_now = True  # the window is the connection's, whatever TCP's edge here
        tracepoints.data_received(self, ssn, length, now)
        connection.data_arrived(now)
        return True

    @property
    def unverified_bytes(self) -> int:
        """Bytes that wait for the rest of their mapping, to verify its checksum."""
        return self._inbound.unverified_bytes

    def flush(self, now: int) -> None:
        """Hand on what is held, right or wrong: the connection has become TCP."""
        self._inbound.flush()
        self.connection.data_arrived(now)

    # --- the end

    def reject(self, reason: int, now: int, *options: MptcpOption, transient: bool = False) -> Literal[False]:
        """Reset the subflow and say why, with a number of ``ResetReason`` (section 3.6; version 0 has none).

        ``transient``: the reason may have gone when the peer tries again.
        """
        self.rejected, self.refused = True, not transient
        if self.connection.version > 0:
            self.connection.count("MPTcpExtMPRstTx")
            options += (MpTcpRst(TRANSIENT if transient else 0, reason),)
        self.endpoint.abort(now, *options)
        return False

    # --- what the endpoint reports

    @override
    def on_acked(self, now: int) -> None:
        if self.connection.is_plain:
            scoreboard = self.endpoint.sender.scoreboard
            self.sending.on_plain_ack(scoreboard.una - self.endpoint.iss - 1, now)
        tracepoints.acknowledged(self, now)

    @override
    def on_fin(self, now: int) -> None:
        self.connection.subflow_fin(self, now)

    @override
    def on_retransmitted(self, record: Record, now: int) -> None:
        tracepoints.retransmitted(self, record, now)

    @override
    def probe(self, now: int) -> bool:
        """When it comes as late as a timeout, the others take over as after that."""
        sent = self.sending.probe(self, now)
        if self.endpoint.sender.overdue(now):
            self.sending.on_subflow_timeout(self)
        return sent

    @override
    def on_timeout(self, now: int) -> None:
        tracepoints.timed_out(self, now)
        self._confirm_version_0(now)
        self.connection.subflow_timed_out(self, now)

    @override
    def expect_reset(self, segment: Segment) -> None:
        self.peer_reset = find(segment.options, MpTcpRst)
        self.refused = self.peer_reset is not None and not self.peer_reset.flags & TRANSIENT

    @override
    def on_reset(self, segment: Segment, now: int) -> None:
        self.connection.reset_arrived(self, segment.options, now)

    @override
    def on_closed(self, error: OSError | None, now: int) -> None:
        if self._confirm_timer is not None:
            self._confirm_timer.cancel()
        self.persist.stop()
        tracepoints.subflow_down(self, error, now)
        self.connection.subflow_closed(self, error, now)

    @override
    def wake(self) -> None:
        self.connection.wake()

    @override
    def dissolve(self) -> None:
        self._stop_waiting()
        self._inbound.dissolve()
        self.persist.end()
        self.endpoint.dissolve()
