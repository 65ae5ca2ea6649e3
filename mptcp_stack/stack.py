"""The one face of the stack: packets in, packets out, a deadline, events (sans-IO).

1. Give it what arrived: ``receive(packets, now)``, and call ``handle_timers(now)`` when ``next_deadline()`` has come.
2. Take ``next_event()`` until it is None, and let the application act on connections and listeners.
3. Send what ``transmit(now)`` returns; take events once more; sleep until ``next_deadline()`` or the next packet.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from mptcp_stack.events import Accepted, Closed, Connected, Event, PathEvent, Readable, Writable
from mptcp_stack.ip_reassembly import IpReassembly
from mptcp_stack.mptcp.address_table import AddressTable
from mptcp_stack.mptcp.config import StackConfig
from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.connection_services import ConnectionServices
from mptcp_stack.mptcp.containment import end_connection
from mptcp_stack.mptcp.customised_stack import CustomisedStack
from mptcp_stack.mptcp.keys import KEY_BYTES, Key
from mptcp_stack.mptcp.local_address import LocalAddress, choose_source
from mptcp_stack.mptcp.opening.half_open import HalfOpen
from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.mptcp.opening.listener import Listener
from mptcp_stack.mptcp.plugins import plug
from mptcp_stack.mptcp.services import Remnant
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.observe import Observer
from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp import Address, Context, Endpoint, State, TimeWait, TimeWaits, Upper
from mptcp_stack.tcp.errors import address_in_use, address_not_available, family_not_supported, network_unreachable
from mptcp_stack.texts import count_text, described
from mptcp_stack.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    FragmentError,
    MpJoinSyn,
    MptcpOption,
    MpTcpRst,
    Options,
    OtherProtocolError,
    Packet,
    ResetReason,
    Segment,
    WireError,
    decode,
    decode_icmp,
    encode,
)

if TYPE_CHECKING:
    from random import Random

__all__ = ["Address", "Connection", "Listener", "LocalAddress", "Stack", "StackConfig"]

EPHEMERAL_PORTS: Final = range(1024, 65536)
"""All that no privilege belongs to (RFC 6056 section 3.2); the lab gives its kernels the same."""
_FLUSH_ROUNDS: Final = 8
"""Chosen: output wakes connections again, in the worlds of ``tests/sim`` for a second round at the most; one that wakes
itself for ever holds up nobody else."""
_ANY: Final = b""
_ANY_IPV4: Final = bytes(4)
_ANY_IPV6: Final = bytes(16)
_OVERLAPPING: Final = {_ANY: (_ANY, _ANY_IPV4, _ANY_IPV6), _ANY_IPV4: (_ANY_IPV4, _ANY), _ANY_IPV6: (_ANY_IPV6, _ANY)}
"""Addresses that are never listened on at the same port at a time."""

ExceptionHandler = Callable[[Connection | None, Exception], None]


class Stack(ConnectionServices):
    """TCP and MPTCP for the addresses of one host. Time is nanoseconds of any monotonic clock."""

    def __init__(self, config: StackConfig, random: "Random") -> None:
        self.config = config
        """The settings it was made with."""
        self.random = random
        self._own = AddressTable(config.addresses)
        self.scheduler = plug("scheduler", config.scheduler)
        self.path_manager = plug("path_manager", config.path_manager)
        control = plug("congestion", config.congestion)
        self.context = Context(config=config, secret=random.randbytes(16), congestion=control, link_mtu=self._own.mtu)
        self._reassembly = IpReassembly(self.context.timers, self.context.counters)
        self._flows: dict[bytes, Endpoint | bytes | Remnant] = {}
        """By addresses and ports; bytes are a TIME-WAIT."""
        self._time_waits = TimeWaits(self.context, self._flows)
        self._listeners: dict[Address, Listener] = {}
        self._tokens: dict[int, Connection] = {}
        self._connections: dict[Connection, None] = {}
        self._dirty: dict[Connection, None] = {}
        self._over: dict[Upper | Remnant | Connection, None] = {}
        """What is to be dissolved as soon as nobody is in a call of it."""
        self._events: deque[Event] = deque()
        self._ident = random.randrange(1 << 16)
        self.on_exception: ExceptionHandler | None = None
        """What hears of an exception, of a plug-in or by a mistake of ours, and of the connection that it ends.

        Without it the exception is raised, by whatever call of the stack it happened in.
        """

    def __repr__(self) -> str:
        return described(self, self._text)

    def _text(self) -> str:
        first, *others = self.addresses[:2] or (None,)
        text = "without an address" if first is None else str(ip_address(first.ip))
        if others:
            text += f" and {len(self.addresses) - 1} more"
        connections, listeners = count_text(len(self._connections), "connection"), len(self._listeners)
        return f"{text}, {connections}, {count_text(listeners, 'listener')}"

    @property
    def counters(self) -> Counter[str]:
        """Counts of what happened, under the names of the kernel's MIB where it has one."""
        return self.context.counters

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that are not over yet."""
        return tuple(self._connections)

    def flow_states(self) -> Counter[str]:
        """How many flows are in each state, by its name in RFC 9293; FASTCLOSE-WAIT is ours. Looks at every flow.

        Handshakes that a listener keeps are in SYN-RECEIVED; those that a cookie keeps nobody knows.
        """
        states = Counter(map(_state_of, self._flows.values()))
        if half_open := sum(listener.half_open for listener in self._listeners.values()):
            states["SYN-RECEIVED"] += half_open
        return states

    def observe(self, observer: Observer | None) -> None:
        """Have ``observer`` called with every observation (see ``mptcp_stack.observe``); None: no more."""
        self.context.shared.observer = observer

    # --- driven by the runtime

    def receive(self, packets: Iterable[Packet], now: int, backlogged: bool = False) -> None:
        """Process packets that arrived. A malformed one is counted and dropped.

        ``backlogged``: more of them wait, as we are slower than the network.
        """
        counters = self.context.counters
        self.context.shared.backlogged = backlogged
        for packet in packets:
            try:
                segment = decode(packet)
            except OtherProtocolError:
                self._receive_icmp(packet, now)
                continue
            except FragmentError:
                whole = self._reassembly.add(packet, now)
                if whole is not None:
                    self.receive((whole,), now, backlogged)
                continue
            except WireError as error:
                counters[error.counter] += 1
                continue
            counters["TcpInSegs"] += 1
            flow = self._flows.get(segment.flow)
            try:
                if type(flow) is Endpoint:
                    flow.receive(segment, now)
                elif flow is None or (type(flow) is bytes and self._time_waits.receive(flow, segment, now)):
                    self._receive_unknown(segment, now)
                elif isinstance(flow, Remnant):
                    flow.receive(segment, now)
            except Exception as problem:
                self._contain(problem, flow if type(flow) is Endpoint else self._flows.get(segment.flow), now)

    def handle_timers(self, now: int) -> None:
        """Act on every deadline that has come."""
        timers = self.context.timers
        while True:
            try:
                timers.fire(now)
                return
            except Exception as problem:
                if timers.firing is not None:
                    timers.firing.cancel()
                    self._contain(problem, timers.firing.owner, now)

    def next_deadline(self) -> int | None:
        """When ``handle_timers`` is wanted next (ns), None while no timer runs."""
        return self.context.timers.next_deadline()

    def next_event(self) -> Event | None:
        """The oldest event that was not taken yet."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Readable):
            event.connection.event_taken()
        elif isinstance(event, Accepted):
            event.listener.waiting -= 1
        return event

    def transmit(self, now: int) -> list[Packet]:
        """Everything that wants to go out, super-segments included (up to ``gso_max_bytes`` of payload each).

        A segment that cannot be encoded is dropped, and counted as TcpOutErrs.
        """
        for _ in range(_FLUSH_ROUNDS):
            if not self._dirty:
                break
            dirty, self._dirty = self._dirty, {}
            for connection in dirty:
                try:
                    connection.output(now)
                except Exception as problem:
                    self._contain(problem, connection, now)
        if self._over:
            self._dissolve(now)
        egress = self.context.egress
        if not egress:
            return []
        packets = []
        ident, lost = self._ident, 0
        for segment in egress:
            try:
                packets.append(encode(segment, ident & 0xFFFF))
            except Exception:  # whatever it is: the others must go out, and this one never comes again
                lost += 1
            ident += -(-segment.length // segment.gso_size) if segment.gso_size else 1
        counters = self.context.counters
        counters["TcpOutSegs"] += ident - self._ident - lost  # packets on the wire
        counters["TcpOutErrs"] += lost
        self._ident = ident & 0xFFFF
        egress.clear()
        return packets

    def _dissolve(self, now: int) -> None:
        """Have what is over freed by reference counts, which the collector of cycles would look for in vain for long.

        A subflow of which something remains that still speaks for it goes with that.
        """
        over, self._over = self._over, {}
        for one in over:
            try:
                if not (isinstance(one, Subflow) and isinstance(self._flows.get(one.endpoint.flow), Remnant)):
                    one.dissolve()
            except Exception as problem:
                self._contain(problem, None, now)

    def _contain(self, problem: Exception, party: object, now: int) -> None:
        """End the connection of ``party`` (itself, a subflow, an endpoint) with ``problem``, and nothing else."""
        if self.on_exception is None:
            raise problem
        self.on_exception(end_connection(party, problem, now), problem)

    # --- addresses that come and go

    def add_address(self, address: LocalAddress, now: int) -> LocalAddress:
        """Have one more address, or one again: connections may use it at once.

        Returns it with its address ID, which stays the same when it comes back, unless another one had to have it
        meanwhile. Raises OSError (EADDRINUSE) when it is there already, ValueError when its address ID, or all of them,
        are taken.
        """
        address = self._own.add(address)
        for connection in self.connections:
            if address in connection.stack.addresses:
                try:
                    connection.address_added(address, now)
                except Exception as problem:
                    self._contain(problem, connection, now)
        return address

    def remove_address(self, ip: bytes, now: int) -> None:
        """Have an address no longer. Raises OSError (EADDRNOTAVAIL) when there is none.

        MPTCP connections take it back and go on without it; a connection that has nothing else waits for its return.
        """
        address = self._own.remove(ip)
        for connection in self.connections:
            try:
                connection.address_removed(address, now)
            except Exception as problem:
                self._contain(problem, connection, now)

    # --- the application's face

    def customised(self, settings: Mapping[str, Any], local_ips: frozenset[bytes] | None = None) -> ConnectionServices:
        """This stack for connections with other ``settings`` (fields of ``StackConfig``) or fewer addresses.

        Raises ValueError.
        """
        if not settings and local_ips is None:
            return self
        unknown = settings.keys() - {field.name for field in fields(StackConfig)}
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no such setting")
        config = replace(self.config, **settings)
        control = plug("congestion", config.congestion)
        return CustomisedStack(
            self,
            config=config,
            context=replace(self.context, config=config, congestion=control),
            scheduler=plug("scheduler", config.scheduler),
            path_manager=plug("path_manager", config.path_manager),
            local_ips=local_ips,
        )

    def listen(
        self,
        local: Address,
        now: int,
        backlog: int = 128,
        *,
        local_ips: frozenset[bytes] | None = None,
        **settings: Any,
    ) -> Listener:
        """Accept connections to a port of one address or of all (``Address``); the rest ``customised``. Raises OSError.

        A specific address may have a listener beside one for all, and comes first.
        """
        local = local.unmapped
        if any(Address(ip, local.port) in self._listeners for ip in _OVERLAPPING.get(local.ip, (local.ip,))):
            raise address_in_use()
        if local.specific and local.ip not in self._own.ips:
            raise address_not_available()
        stack = self.customised(settings, local_ips)
        listener = Listener(stack, local, backlog, self._accept, self._stop_listening)
        self._listeners[local] = listener
        return listener

    def _stop_listening(self, listener: Listener) -> None:
        self._listeners.pop(listener.local, None)

    def connect(
        self,
        remote: Address,
        now: int,
        local: Address | None = None,
        *,
        local_ips: frozenset[bytes] | None = None,
        **settings: Any,
    ) -> Connection:
        """Open a connection. ``local`` may leave its address open (``Address``) or its port 0; the rest ``customised``.

        Raises OSError: ENETUNREACH where nobody may connect to, as Linux does. Own addresses are reached, too,
        by way of the device.
        """
        stack = self.customised(settings, local_ips)
        remote, local = remote.unmapped, (local or Address(b"", 0)).unmapped
        ip, port = local
        if not self._own.is_host(remote.ip):
            raise network_unreachable()
        if ip and len(ip) != len(remote.ip):
            raise family_not_supported()
        if not local.specific:
            source = choose_source(stack.addresses, remote.ip)
            if source is None:
                raise network_unreachable()
            ip = source.ip
        connection = Connection.connect(stack, self.bind(ip, port, remote), remote, now)
        self._connections[connection] = None
        return connection

    # --- what connections ask for (``ConnectionServices``)

    @property
    @override
    def addresses(self) -> tuple[LocalAddress, ...]:
        return self._own.present

    @override
    def is_peer(self, ip: bytes) -> bool:
        return self._own.is_host(ip) and ip not in self._own.ips

    @override
    def bind(self, ip: bytes, port: int, remote: Address) -> Address:
        if ip not in self._own.ips:
            raise address_not_available()
        if len(ip) != len(remote.ip):
            raise family_not_supported()
        prefix = remote.ip + ip + remote.port.to_bytes(2, "big")
        if port:
            if prefix + port.to_bytes(2, "big") in self._flows:
                raise address_in_use()
            return Address(ip, port)
        for port in self.ephemeral_ports():
            if prefix + port.to_bytes(2, "big") not in self._flows:
                return Address(ip, port)
        raise address_not_available()

    def ephemeral_ports(self) -> Iterator[int]:
        """Every port that may be chosen for somebody, from a random one on (RFC 6056 section 3.3.1)."""
        start = self.random.randrange(len(EPHEMERAL_PORTS))
        return chain(EPHEMERAL_PORTS[start:], EPHEMERAL_PORTS[:start])

    @override
    def add_flow(self, endpoint: Endpoint) -> None:
        self._flows[endpoint.flow] = endpoint

    @override
    def add_remnant(self, remnant: Remnant) -> None:
        self._flows[remnant.flow] = remnant

    @override
    def remove_remnant(self, remnant: Remnant) -> None:
        self._flows.pop(remnant.flow, None)
        self._over[remnant] = None
        self._over[remnant.upper] = None

    @override
    def remove_flow(self, endpoint: Endpoint, now: int) -> None:
        if self._flows.get(endpoint.flow) is not endpoint:
            return
        del self._flows[endpoint.flow]
        if endpoint.state is State.TIME_WAIT:
            self._time_waits.add(endpoint, now)
        self._over[endpoint.upper] = None

    @override
    def new_key(self, version: int = 1) -> Key:
        while self.token_in_use((key := Key(self.random.randbytes(KEY_BYTES), version)).token):
            pass
        return key

    @override
    def token_in_use(self, token: int) -> bool:
        return token in self._tokens

    @override
    def add_token(self, connection: Connection) -> None:
        self._tokens[connection.local_key.token] = connection

    @override
    def remove(self, connection: Connection) -> None:
        if connection in self._connections:
            del self._connections[connection]
            if connection.over:
                self._over[connection] = None
        if self._tokens.get(connection.local_key.token) is connection:
            del self._tokens[connection.local_key.token]

    @override
    def wake(self, connection: Connection) -> None:
        self._dirty[connection] = None

    @override
    def accepted(self, listener: Listener, connection: Connection) -> None:
        self._events.append(Accepted(listener, connection))

    @override
    def connected(self, connection: Connection) -> None:
        self._events.append(Connected(connection))

    @override
    def readable(self, connection: Connection) -> None:
        self._events.append(Readable(connection))

    @override
    def writable(self, connection: Connection) -> None:
        self._events.append(Writable(connection))

    @override
    def closed(self, connection: Connection) -> None:
        self._events.append(Closed(connection, connection.error))
        if connection not in self._connections:
            self._over[connection] = None

    @override
    def tell(self, event: PathEvent) -> None:
        self._events.append(event)

    # --- what is not a segment of a flow

    def _receive_icmp(self, packet: Packet, now: int) -> None:
        """Errors about segments of ours; other messages and protocols are not for TCP."""
        counters = self.context.counters
        family = "6" if packet.parts[0][0] >> 4 == 6 else ""
        try:
            error = decode_icmp(packet)
        except OtherProtocolError:
            counters[f"Ip{family}InUnknownProtos"] += 1
            return
        except WireError:
            counters[f"Icmp{family}InErrors"] += 1
            return
        if error is not None and not self._own.is_host(error.reporter):
            counters[f"Ip{family}InAddrErrors"] += 1
            return
        counters[f"Icmp{family}InMsgs"] += 1
        flow = None if error is None else self._flows.get(error.flow)
        if error is not None and type(flow) is Endpoint:
            flow.receive_icmp(error, now)

    def _is_genuine(self, segment: Segment) -> bool:
        """Whether its source may be true: what says that it comes from us is of a connection of ours to ourselves."""
        if self.is_peer(segment.src) and segment.src != segment.dst:
            return True
        return segment.reverse_flow in self._flows

    def _receive_unknown(self, segment: Segment, now: int) -> None:
        """What belongs to no flow: may open one, or is refused.

        From or to where no host is it is neither (RFC 9293 section 3.9.2.3, RFC 1122 section 3.2.1.3): no answer could
        be meant for one, and many hosts would send it.
        """
        flags = segment.flags
        if not (self._own.is_host(segment.src) and self._own.is_host(segment.dst) and self._is_genuine(segment)):
            self.context.counters["IpInAddrErrors" if len(segment.src) == 4 else "Ip6InAddrErrors"] += 1
            return
        join = find(segment.options, MpJoinSyn) if flags & (SYN | ACK | FIN | RST) == SYN else None
        if join is not None:
            refusal = self._receive_join(segment, join, now)
            if refusal is not None:
                self._refuse(segment, (refusal,))
            return
        listener = self._listener(segment)
        answered = listener is not None and listener.receive(segment, now)
        if not answered and not flags & RST:
            self._refuse(segment, ())

    def _receive_join(self, syn: Segment, join: MpJoinSyn, now: int) -> MpTcpRst | None:
        counters = self.context.counters
        counters["MPTcpExtMPJoinSynRx"] += 1
        counters["MPTcpExtMPJoinSynBackupRx"] += join.backup
        connection = self._tokens.get(join.token)
        if connection is not None:
            return connection.accept_join(syn, join, now)
        counters["MPTcpExtMPJoinNoTokenFound"] += 1
        return MpTcpRst(0, ResetReason.MPTCP)

    def _listener(self, segment: Segment) -> Listener | None:
        if not self.config.transparent and segment.dst not in self._own.ips:
            return None
        listeners = self._listeners
        port = segment.dport
        for ip in (segment.dst, bytes(len(segment.dst)), _ANY):
            listener = listeners.get(Address(ip, port))
            if listener is not None and listener.accepting:
                return listener
        return None

    def _accept(self, listener: Listener, request: HalfOpen, segment: Segment, now: int) -> None:
        """A handshake is complete with ``segment``."""
        if request.key is not None and self.token_in_use(request.key.token):
            self.context.counters["MPTcpExtMPFallbackTokenInit"] += 1
            request.key = None
        stack = listener.stack
        assert isinstance(stack, ConnectionServices)
        connection = Connection.accept(stack, listener, request, now)
        self._connections[connection] = None
        connection.subflows[0].endpoint.receive(segment, now)

    def _refuse(self, segment: Segment, why: tuple[MptcpOption, ...]) -> None:
        """Reset what belongs to no connection (RFC 9293 section 3.10.7.1)."""
        self.context.counters["TcpOutRsts"] += 1
        self.context.counters["MPTcpExtMPRstTx"] += len(why)
        if segment.flags & ACK:
            seq, ack, flags = segment.ack, 0, RST
        else:
            span = segment.length + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            seq, ack, flags = 0, (segment.seq + span) & MASK_32, RST | ACK
        answer = Segment.answering(segment, seq=seq, ack=ack, flags=flags, options=Options(mptcp=why))
        self.context.egress.append(answer)


def _state_of(flow: Endpoint | bytes | Remnant) -> str:
    """Its name in RFC 9293, or ours."""
    if isinstance(flow, Endpoint):
        return str(flow.state)
    return flow.NAME if isinstance(flow, Remnant) else TimeWait.NAME
