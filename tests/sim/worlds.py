"""Two hundred worlds, each drawn from a seed, and a digest of their packets: it shows whether a change changes any.

``python -m tests.sim.worlds`` plays all, names those whose packets are others than ``worlds.txt`` beside this file
keeps, and says in how many worlds each feature occurred. ``--captures DIR`` leaves a capture of every world there;
``--keep`` writes the file anew, after a change that is meant to change packets.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from mptcp_stack.events import AddressAnnounced, PathEvent, PathsWanted, SubflowOpened
from mptcp_stack.mptcp.path_manager.userspace import Userspace
from mptcp_stack.phy import PcapWriter
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Host, Link, LinkSpec, Middlebox, Network, pattern
from mptcp_stack.stack import LocalAddress, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import AddAddr, MptcpOption, Packet, RemoveAddr, Segment, WireError, complete, decode, encode
from tests.sim.faults import bursts
from tests.sim.scenes import PORT, client_ip, rewrite, server_ip
from tests.sim.settings import CHOICES
from tests.sim.test_fallback import (
    drop_join,
    strip_all,
    strip_all_but_syn,
    strip_dss,
    strip_join,
    strip_syn,
    strip_syn_ack,
)

SEEDS = range(200)
KEPT = Path(__file__).with_suffix(".txt")
LIFETIME_NS = 20 * SECOND
"""An application that has not ended its connection by then does so."""
LIMIT_NS = 600 * SECOND
SIZES = (0, 1, 3000, 60_000, 300_000)
"""Bytes that an application writes at once."""

SETTINGS: dict[str, list[Any]] = CHOICES | {
    # By name: one that is new must not change what is drawn.
    "congestion": ["reno", "cubic", "lia", "olia", "balia", "wvegas"],
    "scheduler": ["lowest-rtt", "round-robin", "redundant", "blest", "ecf", "backup-aware"],
    "mptcp": [True] * 9 + [False],
    "path_manager": [
        "fullmesh",
        "fullmesh",
        "default",
        "default",
        "ndiffports:3",
        "handover",
        "userspace",
        "userspace",
    ],
    "dss_checksum": [False, True],
    "dsn_bits": [64, 64, 32],
    "ecn": ["off", "accept", "on"],
    "mtu": [1500, 1500, 1280, 9000],
    "keep_alive": [False, False, True],
    "keep_alive_idle_ns": [SECOND],
    "keep_alive_interval_ns": [SECOND],
    "close_timeout_ns": [0, 5 * SECOND, 60 * SECOND],
    "allow_join_initial_address": [True, True, True, False],
}
FLAGS = ("signal", "subflow", "fullmesh")


def lose_announcements(segment: Segment) -> bool:
    return not _says(segment, AddAddr)


def lose_removals(segment: Segment) -> bool:
    return not _says(segment, RemoveAddr)


def _says(segment: Segment, kind: type[MptcpOption]) -> bool:
    return any(isinstance(option, kind) for option in segment.options.mptcp)


def stripping_later(random: Random) -> Middlebox:
    """Lets so many packets pass as they are, and takes MPTCP from all others."""
    left = random.randrange(5, 60)

    def change(segment: Segment) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 or strip_all(segment)

    return rewrite(change)


def changing_payload(random: Random) -> Middlebox:
    """Changes a byte of a segment now and then, and makes TCP's checksum right: what an application gateway does."""

    def change(segment: Segment) -> bool:
        if segment.length and random.random() < 0.2:
            data = bytearray(b"".join(segment.payload))
            data[random.randrange(len(data))] ^= 0x55
            segment.payload = [memoryview(bytes(data))]
        return True

    return rewrite(change)


def splitting(random: Random) -> Middlebox:
    """Cuts data segments in two, both with all options, as network cards do."""

    def middlebox(packet: bytes) -> list[bytes]:
        try:
            segment = decode(Packet([packet]))
        except WireError:
            return [packet]
        if segment.length < 2:
            return [packet]
        data, at = b"".join(segment.payload), segment.length // 2
        halves = []
        for start, end in ((0, at), (at, segment.length)):
            half = decode(Packet([packet]))
            half.seq = (segment.seq + start) % 2**32
            half.payload, half.length = [memoryview(data[start:end])], end - start
            halves.append(complete(encode(half)))
        return halves

    return middlebox


MIDDLEBOXES: dict[str, Callable[[Random], Middlebox]] = {
    "strips SYNs": lambda _: rewrite(strip_syn),
    "strips SYN/ACKs": lambda _: rewrite(strip_syn_ack),
    "strips all": lambda _: rewrite(strip_all),
    "strips all but SYNs": lambda _: rewrite(strip_all_but_syn),
    "strips DSS": lambda _: rewrite(strip_dss),
    "strips MP_JOIN": lambda _: rewrite(strip_join),
    "strips later": stripping_later,
    "drops MP_JOIN": lambda _: rewrite(drop_join),
    "drops ADD_ADDR": lambda _: rewrite(lose_announcements),
    "drops REMOVE_ADDR": lambda _: rewrite(lose_removals),
    "changes payload": changing_payload,
    "splits segments": splitting,
    "loses bursts": lambda random: bursts(random, 0.02, 0.3),
}
OFTEN = ("changes payload", "changes payload", "strips later", "splits segments", "loses bursts")
"""Drawn more often, as much has to come together before they show."""

COUNTERS = {
    "MP_JOIN": ("MPTcpExtMPJoinAckRx",),
    "ADD_ADDR": ("MPTcpExtAddAddrTx",),
    "REMOVE_ADDR": ("MPTcpExtRmAddrTx",),
    "MP_PRIO": ("MPTcpExtMPPrioTx",),
    "MP_FAIL": ("MPTcpExtMPFailTx",),
    "MP_FASTCLOSE": ("MPTcpExtMPFastcloseTx",),
    "MP_TCPRST": ("MPTcpExtMPRstTx",),
    "infinite mapping": ("MPTcpExtInfiniteMapTx",),
    "fallback at the beginning": ("MPTcpExtMPCapableFallbackSYNACK", "MPTcpExtMPCapableFallbackACK"),
    "fallback later": ("MPTcpExtMPCapableDataFallback", "MPTcpExtDssFallback", "MPTcpExtDSSCorruptionFallback"),
    "wrong checksum": ("MPTcpExtDataCsumErr",),
    "reinjection": ("MPTcpExtReinjections",),
    "retransmission": ("TcpRetransSegs",),
    "timeout": ("TcpExtTCPTimeouts",),
    "SYN cookie": ("TcpExtSyncookiesRecv",),
    "keep-alive": ("TcpExtTCPKeepAlive",),
}
"""What is seen to happen, by the counters of the stacks."""


class Party(Application):
    """Writes now and then, and ends its connection ``once_written`` and ``at_eof`` in ways of ``Connection``.

    "" is to do nothing. ``ends`` gets to know who has ended something, and how.
    """

    def __init__(self, name: str, random: Random, ends: list[str]) -> None:
        slow = random.random() < 0.2
        super().__init__(*((3000, random.choice([1, 20, 100]) * MILLISECOND) if slow else ()))
        self.name = name
        self.pauses_ns = [random.randrange(1500 * MILLISECOND) for _ in range(random.choice([0, 1, 3, 5]))]
        self.payloads = [pattern(random.choice(SIZES), random.randrange(100)) for _ in (0, *self.pauses_ns)]
        self.once_written = random.choice(["shutdown", "shutdown", "shutdown", "close", "close", "abort", ""])
        self.at_eof = random.choice(["close", "close", "close", "shutdown", "abort", "", ""])
        self.at_last = random.choice(["close", "close", "abort"])
        self.ended = False
        self._ends = ends

    def on_connected(self) -> None:
        self.host.call_later(LIFETIME_NS, self._ending(self.at_last))
        self._write_on()

    def _write_on(self) -> None:
        if self.closed or self.ended:
            return
        self.write(self.payloads.pop())
        if self.pauses_ns:
            self.host.call_later(self.pauses_ns.pop(), self._write_on)
        else:
            self.finish(self._ending(self.once_written))

    def on_eof(self) -> None:
        self.finish(self._ending(self.at_eof))

    def _ending(self, how: str) -> Callable[[], None]:
        def end() -> None:
            if how and not self.closed:
                self.ended = True
                self._outgoing.clear()
                self._ends.append(f"{self.name} {how}")
                getattr(self.connection, how)()

        return end


class World:
    """Two hosts and all that happens between them; ``features`` are what it has, and after ``play`` what occurred."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(f"world {seed}")
        self.network = Network(seed)
        self.features: set[str] = set()
        self._ends: list[str] = []
        self.versions = random.choice([(4,), (6,), (4, 6), (6, 4)]) * 2
        self.paths = range(random.choice([1, 2, 2, 3, 4]))
        self.meshed = random.random() < 0.3
        self.weather = self._weather()
        common = self._draw()
        self.client = self._host("client", common | (self._draw() if random.random() < 0.3 else {}), client_ip)
        self.server = self._host("server", common | (self._draw() if random.random() < 0.3 else {}), server_ip)
        self._lay_links(min(host.stack.config.mtu for host in self.hosts))
        self._name_settings()

    @property
    def hosts(self) -> tuple[Host, Host]:
        return self.client, self.server

    def _draw(self) -> dict[str, Any]:
        return {name: self.random.choice(values) for name, values in SETTINGS.items()}

    def _version(self, path: int) -> int:
        return self.versions[path % len(self.versions)]

    def _host(self, name: str, settings: dict[str, Any], ip_of: Callable[[int, int], bytes]) -> Host:
        addresses = tuple(self._address(ip_of(path, self._version(path))) for path in self.paths)
        coalesce_ns = self.random.choice([0, 0, 100_000])
        host = self.network.add_host(name, StackConfig(addresses=addresses, **settings), coalesce_ns)
        host.on_path_event = lambda event: self._give_order(host, event)
        return host

    def _address(self, ip: bytes) -> LocalAddress:
        flags = {flag for flag in FLAGS if self.random.random() < 0.6}
        backup = {"backup"} if self.random.random() < 0.15 else set()
        return LocalAddress(ip, 24 if len(ip) == 4 else 64, self.meshed, flags=frozenset(flags | backup))

    def _name_settings(self) -> None:
        self.features |= {f"{len(self.paths)} paths" if len(self.paths) > 1 else "1 path"}
        self.features |= {f"IPv{self._version(path)}" for path in self.paths}
        if self.meshed:
            self.features.add("every address reaches every other")
        for config in (host.stack.config for host in self.hosts):
            if config.mptcp:
                self.features.add(f"scheduler {config.scheduler}")
                self.features.add(f"path manager {config.path_manager.partition(':')[0]}")
            self.features.add(f"control {config.congestion}")

    # --- links

    def _lay_links(self, mtu: int) -> None:
        chosen = self.random.choice([*MIDDLEBOXES, *OFTEN]) if self.random.random() < 0.6 else ""
        if chosen:
            self.features.add(f"middlebox {chosen}")
        links: list[tuple[Link, Link]] = []
        for path in self.paths:
            boxed = chosen and (path == 0 or self.random.random() < 0.5)
            box = MIDDLEBOXES[chosen](Random(self.random.random())) if boxed else None
            there, back = self._link_spec(mtu), self._link_spec(mtu)
            links.append((self.network.add_link(there, box), self.network.add_link(back, box)))
        for here in self.paths:
            for other in self.paths if self.meshed else (here,):
                ends = client_ip(here, self._version(here)), server_ip(other, self._version(other))
                self.network.add_route(*ends, [links[here][0]])
                self.network.add_route(*reversed(ends), [links[here][1]])  # type: ignore[arg-type]

    def _weather(self) -> LinkSpec:
        """What goes wrong on the links of this world."""
        choice = self.random.choice
        weather = LinkSpec(
            loss=choice([0, 0, 0.01, 0.05]),
            reorder=choice([0, 0, 0.05, 0.2]),
            reorder_extra_ns=choice([1, 10, 60]) * MILLISECOND,
            duplicate=choice([0, 0, 0, 0.05]),
            corrupt=choice([0, 0, 0, 0.01]),
        )
        drawn = {"loss": weather.loss, "reordering": weather.reorder}
        drawn |= {"duplicates": weather.duplicate, "corruption": weather.corrupt}
        self.features |= {name for name, probability in drawn.items() if probability}
        return weather

    def _link_spec(self, mtu: int) -> LinkSpec:
        choice, start_ns = self.random.choice, self.random.randrange(3 * SECOND)
        dark = self.random.random() < 0.1
        if dark:
            self.features.add("blackout")
        return replace(
            self.weather,
            rate_bps=choice([None, 2_000_000, 10_000_000, 100_000_000]),
            delay_ns=choice([100_000, MILLISECOND, 10 * MILLISECOND, 50 * MILLISECOND]),
            queue_bytes=choice([20_000, 50_000, 300_000]),
            mtu=mtu,
            blackouts=((start_ns, start_ns + 1500 * MILLISECOND),) if dark else (),
        )

    # --- what happens

    def play(self) -> None:
        """From the first connection to rest, or to the limit of time."""
        random = self.random
        settings = {"backlog": random.choice([1, 128])}
        self.server.listen(Address(b"", PORT), lambda: Party("server", random, self._ends), **settings)
        for number in range(random.choice([1, 1, 1, 2])):
            self._later(number * random.randrange(SECOND), self._connect)
        if len(self.paths) > 1 and random.random() < 0.5:
            for _ in range(random.choice([1, 2, 3])):
                self._later(random.randrange(3 * SECOND), self._move)
        self.network.run_for(LIMIT_NS)
        self._name_what_happened()

    def _later(self, delay_ns: int, action: Callable[[], None]) -> None:
        self.network.clock.schedule(self.network.clock.now_ns + delay_ns, action)

    def _connect(self) -> None:
        party = Party("client", self.random, self._ends)
        try:
            self.client.connect(Address(server_ip(0, self._version(0)), PORT), party)
        except OSError:
            self.features.add("connection refused by the stack")  # its address has left

    def _move(self) -> None:
        """An address leaves, and comes again later or never."""
        host = self.random.choice([self.client, self.client, self.server])
        if not host.stack.addresses:
            return
        address = self.random.choice(host.stack.addresses)
        host.remove_address(address.ip)
        self.features.add("address leaves")
        if self.random.random() < 0.7:
            self._later(self.random.randrange(5 * SECOND), lambda: self._return(host, address))

    def _return(self, host: Host, address: LocalAddress) -> None:
        host.add_address(address)
        self.features.add("address comes")

    def _give_order(self, host: Host, event: PathEvent) -> None:
        """As an application with path manager ``userspace`` might."""
        manager, now = event.connection.path_manager, self.network.clock.now_ns
        assert isinstance(manager, Userspace)
        ours = host.stack.addresses
        match event:
            case PathsWanted():
                for address in ours[1:] if host is self.server else ():
                    manager.announce(address.ip, now)
            case AddressAnnounced(address_id=address_id, remote=remote):
                for address in ours:
                    if address.reaches(remote.ip):
                        manager.open_subflow(address.ip, address_id, remote, now, self.random.random() < 0.3)
            case SubflowOpened(subflow=subflow):
                order = self.random.choice(["backup", "close", "withdraw", "", ""])
                if order == "backup":
                    manager.set_backup(subflow, not subflow.backup)
                elif order == "close":
                    manager.close_subflow(subflow, now)
                elif order == "withdraw":
                    manager.withdraw(subflow.local.ip, now)

    def _name_what_happened(self) -> None:
        counters = sum((host.stack.counters for host in self.hosts), Counter[str]())
        self.features |= {name for name, counted in COUNTERS.items() if any(counters[one] for one in counted)}
        for party in (one for host in self.hosts for one in host._applications.values()):
            if party.connection.remote_key is not party.connection.local_key:  # the peer's was heard
                self.features.add(f"MPTCP v{party.connection.version}")
                self.features.add("checksums" if party.connection.checksums else "no checksums")
            else:
                self.features.add("TCP")
        self.features.add("ends: " + ", ".join(self._ends[:2]))


def capture(world: World, path: Path) -> str:
    """Write every packet as it left its host; the digest of the file."""
    with PcapWriter(path) as pcap:
        for record in world.network.trace:
            pcap.write(record.time_ns, record.packet)
    return sha256(path.read_bytes()).hexdigest()


def digest_of(seed: int, folder: Path) -> tuple[str, set[str]]:
    """Of the packets of a world, whose capture stays in ``folder``; and its features."""
    world = World(seed)
    world.play()
    return capture(world, folder / f"world-{seed:03}.pcap"), world.features


def kept() -> dict[int, str]:
    """The digests in ``worlds.txt`` by seed."""
    lines = (line.split() for line in KEPT.read_text().splitlines() if not line.startswith("#"))
    return {int(seed): digest for seed, digest in lines}


def table(features: Iterable[set[str]]) -> list[str]:
    """In how many worlds each feature occurred."""
    counts = Counter(feature for one in features for feature in one)
    return [f"{counts[feature]:3} {feature}" for feature in sorted(counts)]


def keep(digests: dict[int, str], lines: list[str]) -> None:
    """Write ``worlds.txt``."""
    head = ["# Digests of the packets of each world, below: in how many worlds what occurs", "# (tests/sim/worlds.py)."]
    text = [*head, *(f"# {line}" for line in lines), *(f"{seed:3} {digest}" for seed, digest in digests.items())]
    KEPT.write_text("\n".join(text) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--captures", type=Path, metavar="DIR", help="leave a capture of every world there")
    parser.add_argument("--keep", action="store_true", help="write the digests into worlds.txt")
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = arguments.captures or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        played = {seed: digest_of(seed, folder) for seed in SEEDS}
    digests = {seed: digest for seed, (digest, _) in played.items()}
    lines = table(features for _, features in played.values())
    print("\n".join(lines))
    if arguments.keep:
        keep(digests, lines)
        return 0
    before = kept()
    others = [str(seed) for seed, digest in digests.items() if before.get(seed) != digest]
    print(f"{len(others)} of {len(digests)} worlds have other packets than those kept:", " ".join(others) or "none")
    return bool(others)


if __name__ == "__main__":
    raise SystemExit(main())
