"""A client and a server joined by disjoint paths, and what every run between them must fulfil."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import (
    MILLISECOND,
    SECOND,
    Application,
    Host,
    Link,
    LinkSpec,
    Middlebox,
    Network,
    Source,
    pattern,
)
from mptcp_stack.stack import StackConfig
from mptcp_stack.tcp import Address, Endpoint
from mptcp_stack.wire import ACK, Packet, Segment, WireError, complete, decode, encode

PORT = 80
PATH = LinkSpec(rate_bps=10_000_000, delay_ns=10 * MILLISECOND, queue_bytes=50_000)
SYN, RST = 2, 4


def client_ip(path: int, version: int = 4) -> bytes:
    return host_ip(path, 101, version)


def server_ip(path: int, version: int = 4) -> bytes:
    return host_ip(path, 102, version)


def host_ip(path: int, host: int, version: int) -> bytes:
    """10.0.PATH.HOST, or fd00:PATH::HOST."""
    return bytes((10, 0, path, host)) if version == 4 else bytes((0xFD, 0, 0, path, *bytes(11), host))


SERVER = Address(server_ip(1), PORT)


@dataclass
class Scene:
    """The network, its two hosts, and the (client to server, server to client) links of each path."""

    network: Network
    client: Host
    server: Host
    paths: list[tuple[Link, Link]]

    def carried(self) -> list[int]:
        """IP bytes each path carried, both directions together."""
        return [sum(link.counters.carried_bytes for link in path) for path in self.paths]

    def segments(self, host: str | None = None) -> list[tuple[int, Segment]]:
        """(time in ns, segment) of all packets sent by `host`, or by both."""
        return [
            (record.time_ns, decode(Packet([record.packet])))
            for record in self.network.trace
            if host in (None, record.host)
        ]


def make_scene(
    seed: int,
    specs: Sequence[LinkSpec | tuple[LinkSpec, LinkSpec]] = (PATH, PATH),
    *,
    middlebox: Middlebox | Sequence[Middlebox | None] | None = None,
    coalesce_ns: int = 0,
    versions: Sequence[int] = (),
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **both: Any,
) -> Scene:
    """A scene with a path for each of `specs`: of both directions, or of each. A `middlebox` for all or each.

    `versions`: of IP on each path, 4 where none is given. `client`, `server` and `both` are fields of StackConfig.
    """
    network = Network(seed)

    def version(path: int) -> int:
        return versions[path - 1] if path <= len(versions) else 4

    def host(name: str, address: Callable[[int, int], bytes], own: dict[str, Any] | None) -> Host:
        ips = [address(path, version(path)) for path in range(1, len(specs) + 1)]
        addresses = tuple(LocalAddress(ip, 24 if len(ip) == 4 else 64) for ip in ips)
        config = StackConfig(addresses=addresses, **{**both, **(own or {})})
        return network.add_host(name, config, coalesce_ns)

    made = Scene(network, host("client", client_ip, client), host("server", server_ip, server), [])
    for path, spec in enumerate(specs, 1):
        there, back = spec if isinstance(spec, tuple) else (spec, None)
        box = middlebox[path - 1] if isinstance(middlebox, Sequence) else middlebox
        ends = client_ip(path, version(path)), server_ip(path, version(path))
        made.paths.append(network.add_path(*ends, there, back, middlebox=box))
    return made


def exchange(
    scene: Scene,
    upload: bytes,
    download: bytes,
    limit_ns: int = 60 * SECOND,
    **client_reader: int,
) -> tuple[Application, Application]:
    """Send both ways over one connection, check every byte, and let both stacks come to rest.

    Returns the client's and the server's application.
    """
    accepted: list[Source] = []

    def accept() -> Source:
        accepted.append(Source(download))
        return accepted[-1]

    scene.server.listen(Address(b"", PORT), accept)
    client = Source(upload, **client_reader)
    scene.client.connect(SERVER, client)
    end_ns = scene.network.clock.now_ns + limit_ns
    scene.network.run_until(lambda: client.closed and all(app.closed for app in accepted), end_ns)
    for application in (client, *accepted):
        assert application.error is None, scene.network.diagnosis(repr(application.error))
    assert len(accepted) == 1
    check_received(scene, accepted[0], upload)
    check_received(scene, client, download)
    check_windows(scene, mptcp=client.connection.is_mptcp)
    come_to_rest(scene)
    return client, accepted[0]


def check_received(scene: Scene, application: Application, expected: bytes) -> None:
    """The application has read exactly `expected`."""
    received = bytes(application.received)
    if received == expected:
        return
    wrong = next((n for n, (a, b) in enumerate(zip(received, expected, strict=False)) if a != b), None)
    raise AssertionError(
        scene.network.diagnosis(f"read {len(received)} of {len(expected)} bytes, first wrong one at {wrong}")
    )


def check_windows(scene: Scene, mptcp: bool) -> None:
    """Nobody has sent beyond what the peer had offered until then (in sequence or data sequence space)."""
    scales: dict[bytes, int | None] = {}
    edges: dict[bytes, int] = {}
    bits = 64 if mptcp else 32
    for time_ns, segment in scene.segments():
        here, there, flow = segment.src[3:], segment.dst[3:], segment.src + segment.dst
        if segment.flags & SYN:
            scales[flow] = segment.options.window_scale
            continue
        dss = segment.options.dss
        if mptcp and dss is None:
            continue
        start, ack = (dss.dsn, dss.data_ack) if mptcp else (segment.seq, segment.ack)
        if there in edges and segment.length:
            length = dss.length - dss.data_fin if mptcp else segment.length
            beyond = (start + length - edges[there] + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
            assert beyond <= 0, scene.network.diagnosis(f"{beyond} bytes too many at {time_ns / SECOND:.6f} s")
        # Both SYNs must have a scale (RFC 7323 section 2.2); a reset of a join has no SYN before it.
        scale, others = scales.get(flow), scales.get(segment.dst + segment.src)
        edge = ack + (segment.window << scale if scale is not None and others is not None else segment.window)
        if here not in edges or (edge - edges[here]) % 2**bits < 2 ** (bits - 1):
            edges[here] = edge % 2**bits


def come_to_rest(scene: Scene, limit_ns: int = 300 * SECOND) -> None:
    """Nothing is left to happen, not even TIME-WAIT, within `limit_ns`, and nothing is left in the stacks."""
    scene.network.run_to_end(scene.network.clock.now_ns + limit_ns)
    for host in scene.network.hosts.values():
        stack = host.stack
        assert stack.next_deadline() is None
        assert not stack.connections
        assert not stack._flows
        assert not stack._tokens
        assert all(listener.half_open == 0 for listener in stack._listeners.values())


def idle_scene(**settings: Any) -> Scene:
    """A plain TCP connection over one path, established, with nothing under way."""
    run = make_scene(1, [PATH], mptcp=False, **settings)
    run.server.listen(Address(b"", PORT), Application)
    run.client.connect(SERVER, Application())
    run.network.run_for(200 * MILLISECOND)
    return run


def endpoint_of(host: Host) -> Endpoint:
    """The endpoint of the only connection of `host`."""
    (connection,) = host.stack.connections
    return connection.subflows[0].endpoint


def forge(run: Scene, host: Host, **fields: int) -> list[Segment]:
    """Give `host` a segment as its peer would send it, but for some `fields`; what it sends at once.

    `seq` and `ack` are meant modulo 2**32; `length` bytes of payload; the timestamp is `later` than the peer's last.
    """
    peer = run.server if host is run.client else run.client
    endpoint = endpoint_of(host)
    local, remote = endpoint.local, endpoint.remote
    forged = Segment(remote.ip, local.ip, remote.port, local.port, flags=ACK, window=1000)
    forged.seq, forged.ack = endpoint.receiver.next, endpoint.sender.scoreboard.next
    forged.options.ts_val = (run.segments(peer.name)[-1][1].options.ts_val + fields.pop("later", 0)) % 2**32
    forged.options.ts_ecr = run.segments(host.name)[-1][1].options.ts_val
    forged.payload = [memoryview(bytes(fields.pop("length", 0)))]
    forged.length = len(forged.payload[0])
    for name, value in fields.items():
        setattr(forged, name, value)
    forged.seq, forged.ack = forged.seq % 2**32, forged.ack % 2**32
    before = len(run.network.trace)
    host.stack.receive([Packet([complete(encode(forged))])], run.network.clock.now_ns)
    host.settle()
    return [decode(Packet([record.packet])) for record in run.network.trace[before:] if record.host == host.name]


def rewrite(change: Callable[[Segment], bool]) -> Middlebox:
    """A middlebox that lets `change` modify each segment, and drops it if that returns False."""

    def middlebox(packet: bytes) -> list[bytes]:
        try:
            segment = decode(Packet([packet]))
        except WireError:
            return [packet]
        return [complete(encode(segment))] if change(segment) else []

    return middlebox


def losing(*lost: int) -> Middlebox:
    """A middlebox that drops the packets with these numbers, counted from 0 in both directions together."""
    count = -1

    def middlebox(packet: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        return [] if count in lost else [packet]

    return middlebox


def without_mptcp(segment: Segment) -> None:
    segment.options.mptcp = ()
    segment.options.dss = None


def impaired(**fields: Any) -> LinkSpec:
    """The usual path with some fields changed."""
    return replace(PATH, **fields)


UPLOAD = pattern(200_000, 1)
DOWNLOAD = pattern(100_000, 2)
