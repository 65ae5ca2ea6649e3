"""Hosts with a stack each, joined by links; runs from event to event in virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import mypyc_attr

from mptcp_stack.events import Accepted, Closed, Connected, Event, PathEvent, Readable, Writable
from mptcp_stack.sim.application import Application
from mptcp_stack.sim.clock import Clock
from mptcp_stack.sim.coalesce import coalesce
from mptcp_stack.sim.link import Link, LinkSpec, Middlebox
from mptcp_stack.sim.trace import TraceRecord, describe_packet
from mptcp_stack.stack import LocalAddress, Stack, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Packet, complete, split

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.opening.listener import Listener

MAX_IDLE_WAKES: Final = 1000
"""In a row: each has left a timer due that has already come."""
MAX_PACKETS_AT_ONCE: Final = 20_000
"""Sent in one nanosecond; without rate and delay two hosts can answer each other for ever in no time."""
TRACE_TAIL: Final = 40
CLOSED_KEPT: Final = 100
"""Connections that are over and that a diagnosis still speaks of."""


@mypyc_attr(native_class=False)
class SimulationError(AssertionError):
    """A run that can not come to its end; the message carries a diagnosis."""


class Host:
    """A stack and the applications on it. Made by `Network.add_host`."""

    def __init__(self, network: Network, name: str, stack: Stack, coalesce_ns: int) -> None:
        self.name = name
        self.stack = stack
        self._coalesce_ns = coalesce_ns
        self._network = network
        self._clock = network.clock
        self._applications: dict[Connection, Application] = {}
        self._closed: deque[Connection] = deque()
        self._factories: dict[Listener, Callable[[], Application]] = {}
        self._inbox: list[bytes] = []
        self._armed_ns: int | None = None
        self._idle_wakes = 0
        self.on_path_event: Callable[[PathEvent], None] = lambda _: None
        """Who is told what the path manager `userspace` leaves to the application."""

    def listen(
        self,
        local: Address,
        factory: Callable[[], Application],
        *,
        backlog: int = 128,
        **settings: Any,
    ) -> Listener:
        """Listen; what is accepted gets an application made by `factory`. Settings as in `Stack.customised`."""
        listener = self.stack.listen(local, self._clock.now_ns, backlog=backlog, **settings)
        self._factories[listener] = factory
        return listener

    def connect(
        self,
        remote: Address,
        application: Application,
        *,
        local: Address | None = None,
        **settings: Any,
    ) -> Connection:
        """Open a connection for `application`; `settings` as in `Stack.customised`."""
        connection = self.stack.connect(remote, self._clock.now_ns, local=local, **settings)
        self._attach(application, connection)
        self.settle()
        return connection

    def add_address(self, address: LocalAddress) -> None:
        """Have an address (again); packets to it come by the routes of the network."""
        self._network.own(address.ip, self)
        self.stack.add_address(address, self._clock.now_ns)
        self.settle()

    def remove_address(self, ip: bytes) -> None:
        """Have an address no longer: nothing comes or goes that bears it."""
        self._network.own(ip, None)
        self.stack.remove_address(ip, self._clock.now_ns)
        self.settle()

    def call_later(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Run an application's `action` after `delay_ns`, and send what follows from it."""

        def run() -> None:
            action()
            self.settle()

        self._clock.schedule(self._clock.now_ns + delay_ns, run)

    def deliver(self, packet: bytes) -> None:
        """Take a packet from a link; what arrives until the end of the coalescing time is one batch."""
        if not self._inbox:
            self._clock.schedule(self._clock.now_ns + self._coalesce_ns, self._receive)
        self._inbox.append(packet)

    def settle(self) -> None:
        """Tell the applications what happened, send what wants to go out, and arm the stack's timer.

        To be called after every use of a connection from outside an application's own methods.
        """
        self._dispatch()
        self._transmit()
        while self._dispatch():
            self._transmit()
        self._arm()

    def _receive(self) -> None:
        arrived, self._inbox = self._inbox, []
        packets = coalesce(arrived) if self._coalesce_ns else [Packet([one]) for one in arrived]
        self.stack.receive(packets, self._clock.now_ns)
        self.settle()

    def _wake(self, at_ns: int) -> None:
        if at_ns == self._armed_ns:
            self._armed_ns = None
            self.stack.handle_timers(self._clock.now_ns)
            self.settle()
            deadline_ns = self.stack.next_deadline()
            self._idle_wakes = self._idle_wakes + 1 if deadline_ns is not None and deadline_ns <= at_ns else 0
            if self._idle_wakes > MAX_IDLE_WAKES:
                raise SimulationError(self._network.diagnosis(f"{self.name}: timer due again and again"))

    def _arm(self) -> None:
        deadline_ns, now_ns = self.stack.next_deadline(), self._clock.now_ns
        if deadline_ns is None:
            return
        at_ns = max(deadline_ns, now_ns)
        if self._armed_ns is None or at_ns < self._armed_ns:
            self._armed_ns = at_ns
            self._clock.schedule(at_ns, lambda: self._wake(at_ns))

    def _transmit(self) -> None:
        for packet in self.stack.transmit(self._clock.now_ns):
            for one in split(packet):
                self._network.send(self.name, complete(one))

    def _dispatch(self) -> bool:
        """Hand out the stack's events; whether there were any."""
        event = self.stack.next_event()
        if event is None:
            return False
        while event is not None:
            self._handle(event)
            event = self.stack.next_event()
        return True

    def _handle(self, event: Event) -> None:
        if isinstance(event, Accepted):
            application = self._factories[event.listener]()
            self._attach(application, event.connection)
            application.handle_connected()
            return
        if isinstance(event, PathEvent):
            self.on_path_event(event)
            return
        application = self._applications[event.connection]
        match event:
            case Connected():
                application.handle_connected()
            case Readable():
                application.handle_readable()
            case Writable():
                application.handle_writable()
            case Closed():
                application.handle_closed(event.error)
                self._forget(event.connection)

    def _attach(self, application: Application, connection: Connection) -> None:
        application.attach(self, connection)
        self._applications[connection] = application

    def _forget(self, connection: Connection) -> None:
        """Keep the connections that closed last only: a host may have any number of them."""
        self._closed.append(connection)
        if len(self._closed) > CLOSED_KEPT:
            del self._applications[self._closed.popleft()]

    def describe(self) -> str:
        """The state of the connections that applications use here or used last, for a diagnosis."""
        lines = [f"host {self.name}: deadline {self.stack.next_deadline()}, {dict(self.stack.counters)}"]
        for application in self._applications.values():
            name, read = type(application).__name__, len(application.received)
            state = {flag: value for flag, value in vars(application).items() if isinstance(value, bool)}
            lines.append(f"  {name} read {read} bytes {state} error {application.error!r}")
        return "\n".join(lines)


class Network:
    """Hosts and the links between their addresses.

    A packet takes the links of the route for its (source, destination) pair of addresses, one after the
    other; links may be part of several routes. A packet without a route, or from or to an address that
    is nobody's, is dropped and counted in `unroutable`. `trace` holds every packet as its host sent it, unless
    `tracing` is taken off.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tracing = True
        self.clock = Clock()
        self.hosts: dict[str, Host] = {}
        self.trace: list[TraceRecord] = []
        self.unroutable = 0
        self._routes: dict[tuple[bytes, bytes], list[Link]] = {}
        self._owners: dict[bytes, Host] = {}
        self._links_made = 0
        self._instant = (0, 0)

    def add_host(self, name: str, config: StackConfig, coalesce_ns: int = 0) -> Host:
        """Make a host with a stack; its randomness depends on the network's seed and its name only.

        With `coalesce_ns` it gathers arriving packets for so long and merges them into super-segments.
        """
        host = Host(self, name, Stack(config, Random(f"{self.seed}/host/{name}")), coalesce_ns)
        self.hosts[name] = host
        for address in config.addresses:
            self.own(address.ip, host)
        return host

    def own(self, ip: bytes, host: Host | None) -> None:
        """Let an address be a host's, or nobody's."""
        if host is None:
            self._owners.pop(ip, None)
        else:
            self._owners[ip] = host

    def add_link(self, spec: LinkSpec, middlebox: Middlebox | None = None) -> Link:
        """Make one direction of a link, to be used in routes."""
        self._links_made += 1
        return Link(spec, Random(f"{self.seed}/link/{self._links_made}"), middlebox)

    def add_route(self, source: bytes, destination: bytes, links: list[Link]) -> None:
        """Let packets from one address to another take these links in this order."""
        self._routes[source, destination] = links

    def add_path(
        self,
        here: bytes,
        there: bytes,
        spec: LinkSpec,
        back: LinkSpec | None = None,
        middlebox: Middlebox | None = None,
    ) -> tuple[Link, Link]:
        """Join two addresses by a link of their own in each direction; `back` is `spec` if not given."""
        forward, backward = self.add_link(spec, middlebox), self.add_link(back or spec, middlebox)
        self.add_route(here, there, [forward])
        self.add_route(there, here, [backward])
        return forward, backward

    def send(self, host: str, packet: bytes) -> None:
        """Record one IP packet of at most MTU bytes and put it on its way; SimulationError in a packet storm."""
        since_ns, count = self._instant
        self._instant = (since_ns, count + 1) if since_ns == self.clock.now_ns else (self.clock.now_ns, 1)
        if count > MAX_PACKETS_AT_ONCE and since_ns == self.clock.now_ns:
            raise SimulationError(self.diagnosis("packet storm: the hosts answer each other for ever"))
        if self.tracing:
            self.trace.append(TraceRecord(self.clock.now_ns, host, packet))
        source, destination = _addresses(packet)
        links = self._routes.get((source, destination))
        receiver = self._owners.get(destination)
        if links is None or receiver is None or source not in self._owners:
            self.unroutable += 1
        else:
            self._forward(packet, links, receiver)

    def _forward(self, packet: bytes, links: list[Link], receiver: Host) -> None:
        if not links:
            receiver.deliver(packet)
            return
        for at_ns, arrived in links[0].transfer(packet, self.clock.now_ns):
            self.clock.schedule(at_ns, _Hop(self, arrived, links[1:], receiver))

    def step(self) -> bool:
        """Do the next thing there is to do; False when there is nothing left."""
        return self.clock.advance()

    def run_until(self, condition: Callable[[], bool], limit_ns: int) -> None:
        """Run until `condition` holds.

        Raises SimulationError with a diagnosis when nothing is left to happen before it does (a deadlock) or
        when the virtual time would pass `limit_ns`.
        """
        while not condition():
            next_ns = self.clock.next_ns()
            if next_ns is None:
                raise SimulationError(self.diagnosis("deadlock: nothing is left to happen"))
            if next_ns > limit_ns:
                raise SimulationError(self.diagnosis(f"not done at the limit of {limit_ns / 1e9} s"))
            self.step()

    def run_for(self, duration_ns: int) -> None:
        """Run everything that is due within `duration_ns` from now."""
        end_ns = self.clock.now_ns + duration_ns
        while (next_ns := self.clock.next_ns()) is not None and next_ns <= end_ns:
            self.step()
        self.clock.now_ns = end_ns

    def run_to_end(self, limit_ns: int) -> None:
        """Run until nothing is left to happen; SimulationError if that is not before `limit_ns`."""
        self.run_until(lambda: self.clock.next_ns() is None, limit_ns)

    def diagnosis(self, problem: str) -> str:
        """What was going on: the state of each host and the last packets."""
        lines = [f"{problem} (seed {self.seed}, now {self.clock.now_ns / 1e9:.6f} s)"]
        lines += [host.describe() for host in self.hosts.values()]
        used = dict.fromkeys(link for links in self._routes.values() for link in links)
        lines += [f"link {link.counters}" for link in used]
        lines += [
            f"{record.time_ns / 1e9:12.6f} {record.host:8} {describe_packet(record.packet)}"
            for record in self.trace[-TRACE_TAIL:]
        ]
        return "\n".join(lines)


class _Hop:
    """A packet on its way along the rest of a route."""

    __slots__ = ("_links", "_network", "_packet", "_receiver")

    def __init__(self, network: Network, packet: bytes, links: list[Link], receiver: Host) -> None:
        self._network = network
        self._packet = packet
        self._links = links
        self._receiver = receiver

    def __call__(self) -> None:
        self._network._forward(self._packet, self._links, self._receiver)


def _addresses(packet: bytes) -> tuple[bytes, bytes]:
    if packet[0] >> 4 == 4:
        return packet[12:16], packet[16:20]
    return packet[8:24], packet[24:40]
