"""One world: two hosts, paths with weather, applications and path managers that do anything, and a model of it all."""

from collections import Counter
from collections.abc import Callable
from random import Random

from mptcp_stack.events import PathEvent
from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.local_address import FLAGS
from mptcp_stack.sim import MILLISECOND, SECOND, Host, Network
from mptcp_stack.stack import LocalAddress, StackConfig
from mptcp_stack.tcp import Address
from tests.fuzz.worlds.actor import Actor
from tests.fuzz.worlds.draws import BUDGETS, MTUS, THEMES, WRITES, number_late, settings_of_both
from tests.fuzz.worlds.invariants import check, check_outcome, check_rest
from tests.fuzz.worlds.orders import give_order
from tests.fuzz.worlds.weather import CLIMATES, HARMLESS, ChangingLink
from tests.sim.scenes import PORT
from tests.sim.test_faults import Watch

POSSIBLE_PATHS = 8
"""Addresses that a host may ever have."""
STEPS_BETWEEN_CHECKS = 50
MOST_STEPS = 3_000_000
BOUND_NS = 4 * 3600 * SECOND
"""Of virtual time, until all is closed once the weather is fair, and again until all is at rest: all retries fit."""
DAYS_OF_NOTHING = (1, 10, 24.5, 26, 50)
"""Some are longer than a timestamp takes to half its range, or all."""
WRAPS_NS = ((1 << 31) * MILLISECOND - 2 * SECOND, (1 << 32) * MILLISECOND - 2 * SECOND)
"""Clocks by which timestamps are about to wrap."""


class World:
    """All of it follows from ``seed``; ``run`` raises AssertionError, or whatever a stack raises."""

    def __init__(self, seed: int, heavy: bool = False) -> None:
        self.random = random = Random(f"world {seed} {heavy}")
        self.heavy = heavy
        self.network = Network(seed)
        self.network.clock.now_ns = random.choice([0, 1, *WRAPS_NS, random.randrange(1 << 62)])
        self.climate = random.choice(list(CLIMATES))
        self.version = random.choice([4, 4, 6])
        self.mtus = [random.choice(MTUS[self.version]) for _ in range(random.choice([1, 2, 2, 3, 4]))]
        self.gateway = random.random() < 0.4
        self.links: list[ChangingLink] = []
        self.actors: list[Actor] = []
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.theme = THEMES[random.choice(list(THEMES))]
        self.troubled = bool(self.theme.orders)
        """Whether something besides weather may end connections."""
        self._gone: dict[Host, dict[bytes, LocalAddress]] = {}
        client, server = settings_of_both(random, heavy, self.theme)
        coalesce_ns = random.choice([0, 0, 100_000])
        self.client = self._host("client", client, coalesce_ns)
        self.server = self._host("server", server, coalesce_ns)
        self._watch = Watch(self)  # type: ignore[arg-type]  # it looks at the hosts alone
        self._lay_links()

    # --- the place

    def ips(self, host: Host) -> list[bytes]:
        """Every address that a host may have."""
        return self._ips(host.name)

    def _ips(self, name: str) -> list[bytes]:
        last = 1 if name == "client" else 2
        if self.version == 4:
            return [bytes((10, 0, path, last)) for path in range(POSSIBLE_PATHS)]
        return [bytes((0xFD, 0, 0, path, *bytes(11), last)) for path in range(POSSIBLE_PATHS)]

    @property
    def hosts(self) -> tuple[Host, Host]:
        """Client and server."""
        return self.client, self.server

    def _address(self, ip: bytes, path: int) -> LocalAddress:
        flags = frozenset(flag for flag in FLAGS if self.random.random() < 0.3)
        prefix = 24 if self.version == 4 else 64
        return LocalAddress(ip, prefix, self.gateway, mtu=self.mtus[path % len(self.mtus)], flags=flags)

    def _host(self, name: str, settings: dict[str, object], coalesce_ns: int) -> Host:
        addresses = tuple(self._address(ip, path) for path, ip in enumerate(self._ips(name)[: len(self.mtus)]))
        host = self.network.add_host(name, StackConfig(addresses=addresses, **settings), coalesce_ns)  # type: ignore[arg-type]
        if self.heavy:
            number_late(host.stack, self.random)
        host.on_path_event = self._on_path_event
        self._gone[host] = {}
        return host

    def _lay_links(self) -> None:
        for there, client_ip in enumerate(self._ips("client")):
            for back, server_ip in enumerate(self._ips("server")):
                if there == back or self.gateway:
                    for ends in ((client_ip, server_ip), (server_ip, client_ip)):
                        mtu = max(self.mtus)
                        link = ChangingLink(Random(self.random.random()), CLIMATES[self.climate], mtu)
                        self.links.append(link)
                        self.network.add_route(*ends, [link])

    def _on_path_event(self, event: PathEvent) -> None:
        self.counts[type(event).__name__] += 1

    # --- the people

    def _actor(self, name: str, attached: Callable[[Actor], None]) -> Actor:
        random = self.random
        budget = random.choice(self.theme.budgets or BUDGETS[self.heavy])
        name += str(len(self.actors))
        actor = Actor(name, Random(random.random()), budget, WRITES[self.heavy], self.theme.habits, attached)
        self.actors.append(actor)
        return actor

    def _accept(self) -> Actor:
        return self._actor("server", self._pair)

    def _pair(self, server: Actor) -> None:
        """Who is served knows who serves."""
        for client in self.actors:
            ours = client.peer is None and client is not server
            if ours and client.connection.local == server.connection.remote:
                client.peer, server.peer = server, client
                return

    def _connect(self) -> None:
        client = self._actor("client", lambda actor: None)
        try:
            self.client.connect(Address(self.ips(self.server)[0], PORT), client)
        except OSError as error:
            self.actors.remove(client)
            self.counts[f"connect: {type(error).__name__}"] += 1
        for _ in range(self.random.choice(self.theme.orders or (0,))):
            self._later(self.random.randrange(500 * MILLISECOND), self._order)

    # --- what happens

    def run(self) -> None:
        """From the first connection to rest."""
        self._live()
        if self.random.random() < 0.15:
            self._pass(int(self.random.choice(DAYS_OF_NOTHING) * 86_400 * SECOND), most_steps=20_000)
            self.troubled = True
        self._clear_up()
        self._wind_up()
        self._until_rest()
        for host in self.hosts:
            check_rest(host.stack)
        check_outcome(self.actors, self.climate in HARMLESS and not self.troubled)

    def _live(self) -> None:
        random, now_ns = self.random, self.network.clock.now_ns
        end_ns = now_ns + random.choice([5, 20, 60]) * SECOND
        destructive = random.random() < 0.4
        self.server.listen(Address(b"", PORT), self._accept, backlog=random.choice([1, 4, 128]))
        for _ in range(random.choice([1, 1, 2, 5])):
            self._later(random.randrange(3 * SECOND), self._connect)
        self._repeat(random.choice([5, 50, 500]), end_ns, lambda: self._act(destructive))
        if self.theme.orders:
            self._repeat(random.choice([50, 500, 5000]), end_ns, self._order)
        gap_ms = random.choice([0, 0, 50, 1000, 8000])
        if gap_ms and (len(self.mtus) > 1 or random.random() < 0.2):
            self.troubled = True
            self._repeat(gap_ms, end_ns, self._move)
        if random.random() < 0.15:
            self.troubled = True
            self._later(random.randrange(5 * SECOND), self._kill)
        self._pass(end_ns - now_ns)

    def _later(self, delay_ns: int, action: Callable[[], None]) -> None:
        self.network.clock.schedule(self.network.clock.now_ns + delay_ns, action)

    def _repeat(self, gap_ms: int, end_ns: int, action: Callable[[], None]) -> None:
        """Do something about every ``gap_ms``, until the end."""
        clock = self.network.clock

        def again() -> None:
            if clock.now_ns < end_ns:
                action()
                self._later(int(gap_ms * MILLISECOND * self.random.uniform(0.2, 1.8)), again)

        again()

    def _act(self, destructive: bool) -> None:
        living = [actor for actor in self.actors if not actor.closed]
        if living:
            self.random.choice(living).act(destructive)

    def _order(self) -> None:
        host, other = self.random.sample(self.hosts, 2)
        connections: list[Connection] = [one for one in host.stack.connections if one.is_mptcp and one.established]
        if connections:
            connection = self.random.choice(connections)
            name = give_order(connection, self.ips(host), self.ips(other), self.random, self.network.clock.now_ns)
            self.counts[name] += 1
            host.settle()

    def _move(self) -> None:
        """An address comes or goes."""
        random = self.random
        host = random.choice([self.client, self.client, self.server])
        gone, present, ips = self._gone[host], host.stack.addresses, self.ips(host)
        unknown = [ip for ip in ips if ip not in gone and all(ip != address.ip for address in present)]
        if gone and (random.random() < 0.55 or len(present) <= 1):
            host.add_address(gone.pop(random.choice(list(gone))))
        elif unknown and random.random() < 0.15:
            ip = random.choice(unknown)
            host.add_address(self._address(ip, ips.index(ip)))
        elif present:
            ip = random.choice(present).ip
            gone[ip] = self._address(ip, ips.index(ip))
            host.remove_address(ip)

    def _kill(self) -> None:
        """One direction of a path dies."""
        self.random.choice(self.links).dead = True

    def _clear_up(self) -> None:
        """The weather becomes fair, and what has gone comes back, or not."""
        back = self.random.random() < 0.8
        for link in self.links:
            dead = link.dead and not back
            link.settle(self.network.clock.now_ns)
            link.dead = dead
        for host, gone in self._gone.items():
            for address in gone.values() if back else ():
                host.add_address(address)

    def _wind_up(self) -> None:
        end_ns = self.network.clock.now_ns + BOUND_NS
        while living := [actor for actor in self.actors if not actor.closed]:
            for actor in living:
                actor.wind_up()
                if actor.eof and not actor.left and self.random.random() < 0.01:
                    actor.close()
                    actor.host.settle()
            next_ns = self.network.clock.next_ns()
            if next_ns is None or next_ns > end_ns:
                self._leave_who_waits([actor for actor in living if not actor.closed])
                end_ns += BOUND_NS
            else:
                self._step()

    def _leave_who_waits(self, living: list[Actor]) -> None:
        """Whose peer has gone and could not say so may wait for ever, as in TCP, if it has nothing to send."""
        for actor in living:
            waits = actor.peer is not None and actor.peer.closed and not actor.aborted
            assert waits, self.network.diagnosis(f"{actor.name} does not come to its end")
            self.counts["half open"] += 1
            actor.abort()
            actor.host.settle()

    def _until_rest(self) -> None:
        end_ns = self.network.clock.now_ns + BOUND_NS
        while (next_ns := self.network.clock.next_ns()) is not None:
            assert next_ns <= end_ns, self.network.diagnosis("no rest")
            self._step()

    def _pass(self, duration_ns: int, most_steps: int = MOST_STEPS) -> None:
        clock = self.network.clock
        end_ns, end_steps = clock.now_ns + duration_ns, self.steps + most_steps
        while (next_ns := clock.next_ns()) is not None and next_ns <= end_ns and self.steps < end_steps:
            self._step()
        if next_ns is None or next_ns > end_ns:
            clock.now_ns = end_ns

    def _step(self) -> None:
        self.network.step()
        self.steps += 1
        assert self.steps < MOST_STEPS, self.network.diagnosis("too many steps")
        if self.steps % STEPS_BETWEEN_CHECKS == 0:
            check(self._watch, self.hosts)
