"""The connection that an application holds: a stream over one or more subflows, or plain TCP without MPTCP."""

from collections.abc import Collection

from typing_extensions import override

from mptcp_stack.mptcp.addresses import mobility
from mptcp_stack.mptcp.addresses.announcements import Announcements
from mptcp_stack.mptcp.addresses.signals import Signals
from mptcp_stack.mptcp.closing.closing import Closing
from mptcp_stack.mptcp.connection_services import ConnectionServices
from mptcp_stack.mptcp.control_block import Mode
from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.opening.half_open import HalfOpen
from mptcp_stack.mptcp.opening.handshake import (
    ActiveInitial,
    ActiveJoin,
    Handshake,
    PassiveInitial,
    PassiveJoin,
    Plain,
)
from mptcp_stack.mptcp.opening.listener import Listener
from mptcp_stack.mptcp.path_manager.events import PathEvent
from mptcp_stack.mptcp.path_manager.owner import PathOwner
from mptcp_stack.mptcp.sending.sending import Sending
from mptcp_stack.mptcp.subflow import tracepoints
from mptcp_stack.mptcp.subflow.fallback import Fallback
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.storage import Chunks
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.errors import broken_pipe, connection_reset
from mptcp_stack.texts import address_text, count_text, described, size_text
from mptcp_stack.wire import (
    CHECKSUM_REQUIRED,
    NO_JOIN_TO_INITIAL_ADDRESS,
    TRANSIENT,
    Buffer,
    MpCapable,
    MpJoinSyn,
    MpPrio,
    MpTcpRst,
    Options,
    ResetReason,
    Segment,
)


class Connection(PathOwner):
    """One stream in each direction.

    The application calls ``send``, ``receive``, ``shutdown``, ``close`` and ``abort`` and reads the attributes beside
    them; nothing leaves before the stack's next ``transmit``. ``error`` is what ended the connection, if anything did.
    """

    def __init__(
        self, stack: ConnectionServices, local: Address, remote: Address, listener: Listener | None, key: Key
    ) -> None:
        super().__init__(stack, local, remote, active=listener is None, key=key)
        self._services = stack
        self.listener = listener
        self.subflows = []
        self.subflows_opened = 0
        self.joins_initial_address = True
        self.sending = Sending(self, stack.scheduler)
        self.announcements = Announcements(self)
        self.path_manager = stack.path_manager(self)
        self.closing = Closing(self)
        self.needs_third_ack = False
        self.signals = Signals(self)
        self.fallback = Fallback(self, self.sending)
        self.departed = mobility.NOBODY
        self._readable_queued = False
        self.wants_room = False
        self._keep_alive = stack.config.keep_alive

    def move_to(self, stack: ConnectionServices) -> None:
        """Let the settings of ``stack`` hold from now on: the same stack, ``customised`` in another way."""
        self.stack = self._services = stack

    def __repr__(self) -> str:
        return described(self, self._text)

    def _text(self) -> str:
        kind = f"MPTCP v{self.version}" if self.is_mptcp else "TCP" if self.is_plain else "opening"
        text = f"{address_text(*self.remote)} {kind}"
        if self.closing.closed:
            return f"{text}, closed" if self.error is None else f"{text}, closed: {self.error.strerror or self.error}"
        queue = self.sending.queue
        sent, unsent = size_text(queue.next), size_text(queue.unsent_bytes)
        return f"{text}, {count_text(len(self.subflows), 'subflow')}, {sent} sent, {unsent} unsent"

    # --- opening

    @classmethod
    def connect(cls, stack: ConnectionServices, local: Address, remote: Address, now: int) -> "Connection":
        """Open a connection; ``Connected`` or ``Closed`` follows."""
        connection = cls(stack, local, remote, None, stack.new_key(stack.config.mptcp_version))
        handshake: Handshake = ActiveInitial(connection) if stack.config.mptcp else connection._plain()
        subflow = connection._add_subflow(handshake, local, remote, 0, now)
        subflow.wish(ours=connection._is_backup(local))
        subflow.endpoint.open_active(now)
        return connection

    @classmethod
    def accept(cls, stack: ConnectionServices, listener: Listener, request: HalfOpen, now: int) -> "Connection":
        """Go on where a listener's handshake stands, the third ACK being next; ``Accepted`` follows."""
        syn, key = request.syn, request.key
        local, remote = Address(syn.dst, syn.dport), Address(syn.src, syn.sport)
        connection = cls(stack, local, remote, listener, key or stack.new_key())
        handshake: Handshake = connection._plain() if key is None else PassiveInitial(connection, syn.options)
        subflow = connection._add_subflow(handshake, connection.local, connection.remote, 0, now)
        subflow.wish(ours=connection._is_backup(local))
        subflow.endpoint.resume_passive(syn, request.iss, request.sent_ns, request.transmissions, now)
        return connection

    def _is_backup(self, local: Address) -> bool:
        return any(address.backup for address in self.stack.addresses if address.ip == local.ip)

    def _plain(self) -> Plain:
        self.mode = Mode.PLAIN
        return Plain(self)

    def accept_join(self, syn: Segment, option: MpJoinSyn, now: int) -> MpTcpRst | None:
        """Answer a SYN with MP_JOIN and our token; if none is wanted, what the reset says (section 3.2)."""
        local, remote = Address(syn.dst, syn.dport), Address(syn.src, syn.sport)
        refusal = self._refusal(local, now)
        if refusal is not None:
            self.count("MPTcpExtMPJoinRejected")
            return refusal
        if local.port != self.local.port:
            if local not in self.announcements.sent.values():
                self.count("MPTcpExtMismatchPortSynRx")
                return MpTcpRst(0, ResetReason.MPTCP)
            self.count("MPTcpExtMPJoinPortSynRx")
        elif local == self.local:
            local = self.local  # one object in place of two
        backup = self._is_backup(local)
        handshake = PassiveJoin(self, option, backup)
        subflow = self._add_subflow(handshake, local, remote, option.address_id, now)
        subflow.wish(ours=backup, peers=option.backup)
        subflow.endpoint.open_passive(syn, now)
        return None

    def _refusal(self, local: Address, now: int) -> MpTcpRst | None:
        """Whether the peer may not open a further subflow to ``local``, for good or for now.

        Who comes in vain may have lost some of those that we still believe in: before it comes again they are asked.
        """
        config = self.stack.config
        ours = any(address.ip == local.ip for address in self.stack.addresses)
        ours = ours or (config.transparent and local == self.local)
        open_address = local != self.local or config.allow_join_initial_address
        over = self.closing.data_closed and not self.closing.lingering
        if over or not (self.is_mptcp and ours and open_address):
            return MpTcpRst(0, ResetReason.MPTCP)
        if len(self.subflows) >= config.max_subflows:
            for subflow in list(self.subflows):
                subflow.endpoint.keep_alive.suspect(now)
            return MpTcpRst(TRANSIENT, ResetReason.MPTCP)
        return None

    @override
    def open_subflow(
        self, address: LocalAddress, remote_id: int, remote: Address, now: int, backup: bool = False
    ) -> Subflow | None:
        if len(self.subflows) >= self.stack.config.max_subflows or not self.closing.may_go_on:
            return None
        if remote == self.remote and not self.joins_initial_address:
            return None
        if not self.stack.is_peer(remote.ip):
            self.count("MPTcpExtMPJoinSynTxConnectErr")
            return None
        try:
            local = self.stack.bind(address.ip, 0, remote)
        except OSError:
            self.count("MPTcpExtMPJoinSynTxBindErr")
            return None
        subflow = self._add_subflow(ActiveJoin(self), local, remote, remote_id, now)
        subflow.wish(ours=backup or address.backup)
        subflow.endpoint.open_active(now)
        return subflow

    @override
    def close_subflow(self, subflow: Subflow, now: int) -> None:
        if subflow.usable and not subflow.failing and self.has_other(subflow):
            subflow.endpoint.finish(now)
        else:
            subflow.endpoint.abort(now)
        self.wake()

    @override
    def has_other(self, subflow: Subflow) -> bool:
        return any(other.usable for other in self.subflows if other is not subflow)

    @override
    def withdraw(self, ip: bytes, now: int) -> None:
        if self.closing.may_go_on:
            mobility.withdraw(self, [ip], now)

    def _add_subflow(self, handshake: Handshake, local: Address, remote: Address, remote_id: int, now: int) -> Subflow:
        subflow = Subflow(self, self.sending, handshake, local, remote, remote_id, now)
        subflow.endpoint.keep_alive.switch(self.keep_alive, self.stack.config)
        self.subflows.append(subflow)
        self.congestion_group.append(subflow.endpoint.control)
        self.stack.add_flow(subflow.endpoint)
        return subflow

    # --- the application's face

    @property
    def send_space(self) -> int:
        """Bytes that ``send`` takes now."""
        return max(0, self.sending.buffer.capacity_bytes - self.sending.queue.queued_bytes)

    @property
    def receive_ready(self) -> int:
        """Bytes that ``receive`` gives now."""
        return self.receiving.queue.length

    @property
    def eof(self) -> bool:
        """The peer has ended its stream and everything was read."""
        return self.receiving.finished and not self.receiving.queue.length

    @property
    def keep_alive(self) -> bool:
        """SO_KEEPALIVE: ask a silent peer on every subflow whether it is still there (``TcpConfig.keep_alive``)."""
        return self._keep_alive

    @keep_alive.setter
    def keep_alive(self, keep_alive: bool) -> None:
        self._keep_alive = keep_alive
        for subflow in self.subflows:
            subflow.endpoint.keep_alive.switch(keep_alive, self.stack.config)
        self.wake()

    @property
    def nodelay(self) -> bool:
        """TCP_NODELAY: a small write does not wait until the one before it is acknowledged (``TcpConfig.nodelay``).

        Setting it lets go what waits now, under a cork too, as tcp(7) has it.
        """
        return self.sending.small_writes.nodelay

    @nodelay.setter
    def nodelay(self, nodelay: bool) -> None:
        self.sending.small_writes.nodelay = nodelay
        if nodelay and self.sending.unsent_bytes:
            self.sending.small_writes.let_go()
        self.wake()

    @property
    def cork(self) -> bool:
        """TCP_CORK: only full segments leave, for 200 ms at the most, until it is taken off or the stream ends."""
        return self.sending.small_writes.cork

    @cork.setter
    def cork(self, cork: bool) -> None:
        self.sending.small_writes.cork = cork
        self.wake()

    def send(self, data: Buffer) -> int:
        """Queue bytes; returns how many were taken (the rest after ``Writable``). Their memory must not change later.

        Raises the connection's error if it has failed, BrokenPipeError after ``shutdown``.
        """
        if self.error is not None:
            raise self.error
        if self.sending.fin is not None or self.closing.closed:
            raise broken_pipe()
        view = memoryview(data).cast("B")
        taken = min(len(view), self.send_space)
        if taken < len(view):
            self.wants_room = True
        if taken:
            self.sending.queue.append(view[:taken])
            self.wake()
        return taken

    def want_room(self) -> None:
        """Have a ``Writable`` when there is room again; ``send`` asks for it when it takes less than it was given."""
        self.wants_room = True

    def peek(self, limit: int) -> Chunks:
        """As ``receive``, but what it gives stays there."""
        return self.receiving.queue.peek(limit)

    def receive(self, limit: int = 1 << 31) -> Chunks:
        """Up to ``limit`` bytes that have arrived, as views; an empty list when there are none."""
        queue = self.receiving.queue
        if not queue.length:
            return []
        chunks = queue.take(limit)
        if self.closing.closed or self.closing.data_closed:
            self.closing.report()
        for subflow in self.subflows:
            subflow.endpoint.update_window()
        return chunks

    @override
    def shutdown(self) -> None:
        if self.sending.fin is None:
            self.sending.fin = self.sending.queue.end
            self.wake()

    def close(self) -> None:
        """Neither read nor write any more: orderly, unless data is unread or arrives later, then as ``abort``."""
        self.closing.close()

    def abort(self) -> None:
        """End the connection at once: MP_FASTCLOSE (RFC 8684 section 3.5), or a reset of TCP."""
        self.closing.abort()

    @override
    def local_id_of(self, local: Address) -> int:
        for address_id, address in self.announcements.sent.items():
            if address == local:
                return address_id
        known = (address.address_id for address in self.stack.addresses if address.ip == local.ip)
        return 0 if local.ip == self.local.ip else next(known, 0)

    @property
    @override
    def link(self) -> str:
        return next((address.device for address in self.stack.addresses if address.ip == self.local.ip), "")

    # --- output

    @override
    def wake(self) -> None:
        self._services.wake(self)

    @override
    def carrier(self, avoided: Collection[int] = ()) -> Subflow | None:
        def cost(subflow: Subflow) -> tuple[bool, int, int]:
            return subflow.local_id in avoided, subflow.endpoint.sender.rtt.backoff, subflow.srtt_ns

        return min((subflow for subflow in self.subflows if subflow.usable), key=cost, default=None)

    @override
    def set_backup(self, subflow: Subflow, backup: bool) -> None:
        subflow.wish(ours=backup)
        if self.is_mptcp:
            self.signals.send(MpPrio(backup), subflow)

    def output(self, now: int) -> None:
        """Put everything that may be sent now into the stack's egress."""
        closing = self.closing
        if closing.closed:
            return
        if closing.aborting:
            closing.send_abort(now)
            return
        if self.departed:
            mobility.take_leave(self, now)
        self.sending.output(now)
        self.signals.output(now)
        for subflow in self.subflows:
            subflow.endpoint.acknowledge_if_due(now)
        if closing.detached:
            closing.limit_wait(now)

    # --- what its parts ask

    @property
    @override
    def data_closed(self) -> bool:
        return self.closing.data_closed

    @property
    @override
    def detached(self) -> bool:
        return self.closing.detached

    @property
    @override
    def known(self) -> bool:
        return self.active or self.established

    @override
    def retries(self) -> int:
        return self.closing.retries()

    @override
    def fail(self, error: OSError | None, now: int) -> None:
        self.closing.fail(error, now)

    @override
    def stop(self) -> None:
        self.sending.stop()
        self.fallback.cancel()
        self.announcements.cancel()
        self.path_manager.stop()

    @override
    def forget(self) -> None:
        self._services.remove(self)

    @property
    def over(self) -> bool:
        """Nothing is left, and the application knows."""
        return self.closing.over

    def dissolve(self) -> None:
        """It is over, and nobody is in a call of it: nothing in it refers back, so that reference counts free it.

        What it knows can still be read.
        """
        self.sending.dissolve()
        self.announcements.end()
        self.closing.end()
        self.signals.dissolve()
        self.fallback.end()
        self.congestion_group.clear()
        self.path_manager.dissolve()

    @override
    def tell_closed(self) -> None:
        self._services.closed(self)

    @override
    def tell(self, event: PathEvent) -> None:
        self._services.tell(event)

    @override
    def address_announced(self, address_id: int, remote: Address, now: int) -> None:
        self.path_manager.on_address_announced(address_id, remote, now)

    @override
    def address_withdrawn(self, address_id: int, now: int) -> None:
        self.path_manager.on_address_removed(address_id, now)

    # --- what the stack reports

    def address_added(self, address: LocalAddress, now: int) -> None:
        """The stack has an address (again)."""
        if self.is_mptcp and self.established and not self.closing.data_closed:
            self.departed -= {address.ip}
            self.path_manager.on_local_address_added(address, now)

    def address_removed(self, address: LocalAddress, now: int) -> None:
        """The stack has an address no longer. Plain TCP can only wait for its return."""
        if self.is_mptcp and self.established and not self.closing.data_closed:
            self.departed |= {address.ip}
            self.path_manager.on_local_address_removed(address, now)
            self.wake()

    # --- what subflows report

    @override
    def options_arrived(self, subflow: Subflow, segment: Segment, now: int) -> None:
        self.signals.receive(subflow, segment, now)

    @override
    def reset_arrived(self, subflow: Subflow, options: Options, now: int) -> None:
        self.signals.receive_reset(subflow, options, now)

    @override
    def subflow_timed_out(self, subflow: Subflow, now: int) -> None:
        self.sending.on_subflow_timeout(subflow)
        self.path_manager.on_subflow_timeout(subflow, now)
        mobility.give_up_leaving(subflow, now)

    @override
    def begin(self, option: MpCapable, flags: int) -> None:
        assert option.sender_key is not None
        self.mode = Mode.MPTCP
        self.flags = flags | option.flags & CHECKSUM_REQUIRED
        self.checksums = bool(self.flags & CHECKSUM_REQUIRED)
        self.joins_initial_address = self.version == 0 or not option.flags & NO_JOIN_TO_INITIAL_ADDRESS
        self.remote_key = Key(option.sender_key, self.version)
        self.receiving.start()
        self.needs_third_ack = self.active and self.version > 0
        self._services.add_token(self)

    @override
    def fall_back(self, now: int) -> None:
        self.mode = Mode.PLAIN
        tracepoints.fallback(self, now)
        self.announcements.cancel()
        self.path_manager.stop()
        self.signals.clear()

    @override
    def subflow_established(self, subflow: Subflow, now: int) -> None:
        if subflow.number:
            if not subflow.joining:
                self._further_subflow(subflow, now)
            return
        self.established = True
        tracepoints.connection_up(self, now)
        if self.listener is not None:
            self.listener.waiting += 1
            self._services.accepted(self.listener, self)
            if self.is_mptcp:
                self._begin_paths(subflow, now)
        else:
            self._services.connected(self)

    @override
    def subflow_confirmed(self, subflow: Subflow, now: int) -> None:
        self.needs_third_ack = False
        if subflow.number:
            self._further_subflow(subflow, now)
        elif self.active:
            self._begin_paths(subflow, now)
        self.wake()

    def _begin_paths(self, initial: Subflow, now: int) -> None:
        """Further subflows may be opened. MP_CAPABLE has no word for it if the ``initial`` one is a backup."""
        if initial.backup:
            self.set_backup(initial, True)
        self.path_manager.on_established(now)

    def _further_subflow(self, subflow: Subflow, now: int) -> None:
        """A subflow beside the initial one can carry data, or after all data the word that they have come."""
        if self.closing.data_closed:
            subflow.endpoint.finish(now)
            return
        self.closing.subflow_came()
        self.closing.answer_fins(now)
        self.path_manager.on_subflow_established(subflow, now)

    @override
    def data_arrived(self, now: int) -> None:
        receiving = self.receiving
        if now >= receiving.round_end_ns:
            receiving.end_round(max((one.receiver_rtt_ns for one in self.subflows), default=0), now)
        unread = receiving.queue.length
        closing = self.closing
        if closing.detached and unread:
            closing.abort()
            return
        news = closing.eof_is_new() or unread
        if news and not self._readable_queued and not closing.detached:
            self._readable_queued = True
            self._services.readable(self)
        closing.check_data(now)

    def event_taken(self) -> None:
        """The application took a ``Readable``."""
        self._readable_queued = False

    @override
    def data_acked(self, now: int) -> None:
        if self.wants_room:
            buffer, base = self.sending.buffer, self.sending.queue.base
            if base >= buffer.next_look:
                buffer.look(base, self.subflows)
            if self.send_space >= buffer.capacity_bytes // 4:
                self.wants_room = False
                self._services.writable(self)
        self.closing.check_data(now)

    @override
    def subflow_fin(self, subflow: Subflow, now: int) -> None:
        if self.is_mptcp:
            self.closing.answer_fins(now)
        elif self.fallback.ends_data:
            self.receiving.finish()
            self.data_arrived(now)
        else:
            self.closing.fail(connection_reset(), now)

    @override
    def subflow_closed(self, subflow: Subflow, error: OSError | None, now: int) -> None:
        self.stack.remove_flow(subflow.endpoint, now)
        if self.closing.closed or subflow not in self.subflows:
            return
        self.subflows.remove(subflow)
        self.congestion_group.remove(subflow.endpoint.control)
        if self.closing.outlives(subflow, error):
            self.sending.take_over_from(subflow)
            self.path_manager.on_subflow_closed(subflow, error, now)
            self.wake()
        self.closing.subflow_closed(subflow, error, now)
